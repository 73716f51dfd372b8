"""Everybody's people, into the table of our own."""

from __future__ import annotations

from typing import Any

from logpipe_signals import subscribes
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer


@subscribes("people")
class EverybodysPersonSerializer(PersonSerializer):
    """A person of any service."""

    @classmethod
    def lookup_instance(cls, uuid: str, **kwargs: Any) -> Person | None:
        """Find the person here."""
        return Person.objects.filter(uuid=uuid).first()
