"""A contract as plain JSON Schema documents, one a message."""

from __future__ import annotations

from collections.abc import Iterator

from logpipe_signals.schemas.contract import Contract, Label
from logpipe_signals.schemas.shapes import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schemas(contract: Contract) -> Iterator[tuple[Label, Schema]]:
    """Return the schema of each message, as a document of its own."""
    for label, entry in contract:
        if entry.schema is not None:
            title = f"{label.type} version {label.version}, as it is {label.direction}"
            yield label, {"$schema": DIALECT, "title": title, **entry.schema}


def file_name(label: Label) -> str:
    """Return a name for the document's file: `sent/people/person.v1.json`."""
    return f"{label.direction}/{label.topic}/{label.type}.v{label.version}.json"
