"""The AsyncAPI document: what it says, and that AsyncAPI's own schema takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from logpipe_signals.registry import publishes, subscribes
from logpipe_signals.schemas.asyncapi import document
from logpipe_signals.schemas.contract import contract_of_code
from testproject.mirror.serializers import PersonCopySerializer
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from testproject.services import ServiceUnavailable
from testproject.services.npm import installed_package
from tests.conftest import ChangeSettings, missing_service


@pytest.fixture
def found(logpipe_settings: ChangeSettings) -> Any:
    logpipe_settings(PRODUCER_BACKEND="logpipe_signals.backend.kafka.Producer")
    publishes("people/all", PersonSerializer, name="contract")(Person)
    subscribes("people/all")(PersonCopySerializer)
    return document(contract_of_code(), title="People", version="2.0.0")


def test_a_topic_is_a_channel_with_its_messages(found: Any) -> None:
    channel = found["channels"]["people_all"]
    assert channel["address"] == "people/all"
    assert sorted(channel["messages"]) == [
        "accepted_people_all_person.deleted_v1",
        "accepted_people_all_person_v1",
        "sent_people_all_person.deleted_v1",
        "sent_people_all_person_v1",
    ]


def test_sending_and_receiving_are_operations(found: Any) -> None:
    assert {name: each["action"] for name, each in found["operations"].items()} == {
        "send_people_all": "send",
        "receive_people_all": "receive",
    }


def test_a_message_has_the_envelope_the_headers_and_the_key(found: Any) -> None:
    message = found["components"]["messages"]["sent_people_all_person_v1"]
    properties = message["payload"]["schema"]["properties"]
    assert (properties["type"], properties["version"]) == ({"const": "person"}, {"const": 1})
    assert "uuid" in properties["message"]["properties"]
    assert "'uuid'" in message["bindings"]["kafka"]["key"]["description"]
    assert "logpipe-identity" in found["components"]["messageTraits"]["logpipe"]["headers"]["properties"]


def test_what_is_really_sent_is_valid_under_its_payload(found: Any) -> None:
    body = {"uuid": "0" * 32, "first_name": "Joe", "last_name": "Schmoe", "email": ""}
    schema = found["components"]["messages"]["sent_people_all_person_v1"]["payload"]["schema"]
    jsonschema.Draft202012Validator(schema).validate({"type": "person", "version": 1, "message": body})


def test_every_reference_leads_somewhere(found: Any) -> None:
    for reference in _references(found):
        node = found
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for each in node.values() for reference in _references(each)]
    return [reference for each in node for reference in _references(each)] if isinstance(node, list) else []


def test_asyncapis_own_schema_takes_the_document(found: Any, asyncapi_schema: Any) -> None:
    jsonschema.Draft7Validator(asyncapi_schema).validate(found)


def test_asyncapis_own_schema_refuses_a_document_with_a_foreign_member(found: Any, asyncapi_schema: Any) -> None:
    validator = jsonschema.Draft7Validator(asyncapi_schema)
    assert not validator.is_valid({**found, "chanels": {}})


@pytest.fixture(scope="module")
def asyncapi_schema() -> Any:
    """Return AsyncAPI's own JSON Schema, from the npm package of the people who write the standard."""
    try:
        folder: Path = installed_package("@asyncapi/specs", "6.11.1")
    except ServiceUnavailable as error:
        missing_service(error)
    return json.loads((folder / "schemas" / "3.0.0.json").read_text())
