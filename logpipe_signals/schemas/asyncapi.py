"""
The contract as an AsyncAPI 3 document: a channel a topic, an operation a topic and direction, a message a version.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from logpipe_signals import envelope
from logpipe_signals.conf import settings
from logpipe_signals.schemas.contract import Contract, Entry, Label

Document = dict[str, Any]
VERSION = "3.0.0"
ACTIONS = {"sent": "send", "accepted": "receive"}


def document(contract: Contract, *, title: str, version: str = "1.0.0") -> Document:
    """
    Return the AsyncAPI document of a contract.

    Args:
        title: Names the application.
        version: That of the application's contract.
    """
    entries = list(contract)
    messages = {_message_name(label): _message(label, entry) for label, entry in entries}
    found: Document = {
        "asyncapi": VERSION,
        "info": {"title": title, "version": version},
        "defaultContentType": _content_type(),
        "channels": _channels(entries),
        "operations": _operations(entries),
        "components": {"messages": messages, "messageTraits": {"logpipe": {"headers": _headers()}}},
    }
    return found


def _channels(entries: Iterable[tuple[Label, Entry]]) -> Document:
    channels: Document = {}
    for label, _ in entries:
        channel = channels.setdefault(_identifier(label.topic), {"address": label.topic, "messages": {}})
        name = _message_name(label)
        channel["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        if protocol := _protocol():
            channel["bindings"] = {protocol: {"topic": label.topic}} if protocol == "kafka" else {}
    return {name: {key: value for key, value in channels[name].items() if value} for name in sorted(channels)}


def _operations(entries: Iterable[tuple[Label, Entry]]) -> Document:
    operations: Document = {}
    for label, _ in entries:
        channel = _identifier(label.topic)
        operation = operations.setdefault(
            f"{ACTIONS[label.direction]}_{channel}",
            {"action": ACTIONS[label.direction], "channel": {"$ref": f"#/channels/{channel}"}, "messages": []},
        )
        operation["messages"].append({"$ref": f"#/channels/{channel}/messages/{_message_name(label)}"})
    return {name: operations[name] for name in sorted(operations)}


def _message(label: Label, entry: Entry) -> Document:
    body: Document = {
        "type": "object",
        "required": ["type", "version", "message"],
        "properties": {
            "type": {"const": label.type},
            "version": {"const": label.version},
            "message": {**(entry.schema or {})},
        },
    }
    definitions = body["properties"]["message"].pop("$defs", None)
    if definitions:
        body["$defs"] = definitions
    found: Document = {
        "name": label.type,
        "title": f"{label.type} version {label.version}",
        "contentType": _content_type(),
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": body},
        "traits": [{"$ref": "#/components/messageTraits/logpipe"}],
    }
    if label.direction == "sent" and _protocol() == "kafka":
        described = f"The text of {entry.key!r}." if entry.key else "The text of the primary key."
        found["bindings"] = {"kafka": {"key": {"type": "string", "description": described}}}
    return found


def _headers() -> Document:
    """What the relay adds to each message."""
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            envelope.IDENTITY_HEADER: {**text, "description": "type:primary key, the row a message is about"},
            envelope.SOURCE_HEADER: {**text, "description": "names the publisher's database"},
            envelope.SEQUENCE_HEADER: {
                **text,
                "pattern": "^[0-9]+$",
                "description": "grows with each newer state of a row, within a source",
            },
            envelope.OPERATION_HEADER: {"type": "string", "enum": ["upsert", "delete", "retract"]},
            envelope.PAYLOAD_HEADER: {"type": "string", "enum": ["change"]},
        },
    }


def _message_name(label: Label) -> str:
    return _identifier(f"{label.direction}_{label.topic}_{label.type}_v{label.version}")


def _identifier(text: str) -> str:
    """Return a key that AsyncAPI takes."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _protocol() -> str:
    module = settings.PRODUCER_BACKEND.rsplit(".", 2)[-2:][0]
    return "kafka" if module in ("kafka", "confluent") else ""


def _content_type() -> str:
    return {"json": "application/json", "msgpack": "application/msgpack"}.get(
        settings.DEFAULT_FORMAT, "application/octet-stream"
    )
