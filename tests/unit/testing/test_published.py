"""Assertions about what was published: they pass, or they name the fields that differ."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

from logpipe_signals.backend.base import Message, Record
from logpipe_signals.testing import Published, PublishedMessage, make_delete, make_record, make_tombstone


def seen(record: Record) -> PublishedMessage:
    return PublishedMessage.of(
        Message(topic=record.topic, key=record.key_text, value=record.value, headers=record.headers)
    )


JOE = {"first_name": "Joe", "email": "", "home": {"street": "Elm", "town": "York"}}


@pytest.fixture
def published() -> Published:
    records = [
        make_record("people", "person", JOE, key="1", identity="person:1", headers={"tenant": "a"}),
        make_record("people", "person", {**JOE, "first_name": "Jane"}, version=2, key="2"),
        make_delete("people", "person", {"id": 3}, key="3", identity="person:3"),
        make_tombstone("orders", "4"),
    ]
    return Published([seen(record) for record in records])


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({}, ["1", "2", "3", "4"]),
        ({"topic": "orders"}, ["4"]),
        ({"type": "person"}, ["1", "2"]),
        ({"type": "person", "version": 2}, ["2"]),
        ({"key": "3"}, ["3"]),
        ({"identity": "person:1"}, ["1"]),
        ({"deleted": True}, ["3", "4"]),
    ],
)
def test_filters_choose_messages(published: Published, filters: dict[str, Any], keys: list[str]) -> None:
    assert [message.key for message in published.of(**filters)] == keys


def test_a_filter_that_is_none_is_refused(published: Published) -> None:
    with pytest.raises(TypeError, match="There is no filter 'kind'"):
        published.of(kind="person")


def test_one_message_that_is_as_expected_is_returned(published: Published) -> None:
    message = published.assert_one(type="person", version=1, message=JOE)
    assert (message.key, message.headers) == ("1", {"tenant": "a"})
    assert published.assert_one(version=1, type="person", fields={"first_name": ANY}) == message


def failure(call: Any, **expected: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        call(**expected)
    return str(caught.value)


def test_fields_that_differ_are_named(published: Published) -> None:
    expected = {"first_name": "Jo", "home": {"street": "Oak", "town": "York"}, "age": 7}
    text = failure(published.assert_one, type="person", version=1, message=expected)
    assert 'first_name: expected "Jo", was "Joe"' in text
    assert 'home.street: expected "Oak", was "Elm"' in text
    assert "age: expected 7, is not there" in text
    assert 'email: is there with "", and was not expected' in text
    assert "town" not in text.splitlines()[1:6].__str__()


def test_some_fields_leave_the_others_alone(published: Published) -> None:
    text = failure(published.assert_one, type="person", version=1, fields={"first_name": "Jo"})
    assert 'first_name: expected "Jo", was "Joe"' in text
    assert "was not expected" not in text


def test_a_failure_lists_everything_that_was_published(published: Published) -> None:
    text = failure(published.assert_one, type="order")
    assert "Expected one message with type='order', and none was published." in text
    assert "3. 'person.deleted' version 1 on 'people', key '3'" in text
    assert "4. a tombstone on 'orders'" in text


def test_several_are_not_one(published: Published) -> None:
    assert "2 were published" in failure(published.assert_one, type="person")


def test_any_message_may_be_as_expected_and_the_nearest_is_compared(published: Published) -> None:
    assert published.assert_any(type="person", fields={"first_name": "Jane"}).key == "2"
    text = failure(published.assert_any, type="person", fields={"first_name": "Jim", "email": ""})
    assert "The nearest one" in text
    assert 'expected "Jim"' in text


def test_none_and_a_number_are_asserted(published: Published) -> None:
    published.assert_none(type="order")
    assert len(published.assert_count(2, type="person")) == 2
    assert "one was published" in failure(published.assert_none, deleted=True, topic="people")
    text = failure(lambda: published.assert_count(3, type="person"))
    assert "Expected 3 messages with type='person', and 2 were published." in text


def test_nothing_published_is_said(published: Published) -> None:
    published.clear()
    assert "nothing" in failure(published.assert_one)
