"""The test project's serializers, word for word."""

from people.models import Person, PersonCopy
from rest_framework import serializers

AS_SENT = {"trim_whitespace": False}


class PersonSerializer(serializers.ModelSerializer):
    """A person, keyed by uuid."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"

    class Meta:
        model = Person
        fields = ["uuid", "first_name", "last_name", "email"]


class PersonCopySerializer(serializers.ModelSerializer):
    """A person, found again by uuid."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"

    class Meta:
        model = PersonCopy
        fields = ["uuid", "first_name", "last_name", "email"]
        extra_kwargs = {"first_name": AS_SENT, "last_name": AS_SENT}

    @classmethod
    def lookup_instance(cls, uuid, **kwargs):
        """Return the copy that is there already."""
        return PersonCopy.objects.filter(uuid=uuid).first()
