"""People with and without permissions, and letters for them to look at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from logpipe_signals.models import DeadLetter
from logpipe_signals.models.dead_letters import Side

SECRET = "joe.schmoe@example.com"
UUID = "00000000-0000-4000-8000-000000000001"
Somebody = Callable[..., Client]


@pytest.fixture(autouse=True)
def no_relay(logpipe_settings: Any) -> None:
    logpipe_settings(RELAY="worker")


@pytest.fixture
def admin_user(db: None) -> User:
    """Return a superuser; hashing a password would take longer than the test."""
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(admin_user: User, client: Client) -> Client:
    client.force_login(admin_user)
    return client


@pytest.fixture
def somebody(db: None) -> Somebody:
    """Return a function that logs somebody in who has these permissions only."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create(username="somebody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client = Client()
        client.force_login(user)
        return client

    return log_in


def letter(using: str = "default", **values: Any) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter.objects.using(using).create(
        **{"side": Side.CONSUMER, "topic": "people", "reason": "ValidationError", "error": "no name", **values}
    )


def message(kind: str = "person", **members: Any) -> bytes:
    """Return the bytes of a person's message."""
    body = {"uuid": UUID, "first_name": "Joe", "last_name": "Schmoe", "email": SECRET, **members}
    return b"json:" + json.dumps({"type": kind, "version": 1, "message": body}).encode()


def header(name: str, text: str) -> list[str]:
    """Return a header as letters keep it."""
    return [name, base64.b64encode(text.encode()).decode()]


def url(page: str, *arguments: Any, model: str = "deadletter") -> str:
    """Return a page's address."""
    return reverse(f"admin:logpipe_signals_{model}_{page}", args=arguments)


def shown(client: Client, page: str, *arguments: Any, model: str = "deadletter", **query: str) -> str:
    """Return what a page says."""
    response = client.get(url(page, *arguments, model=model), query)
    assert response.status_code == 200
    return response.content.decode()
