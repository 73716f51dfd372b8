"""
The shape of any serializer, DRF's or Pydantic's, in one plain dialect of JSON Schema 2020-12.

What is no shape is left out: titles, descriptions, defaults, examples. A null alternative is a `type` list with "null",
a `const` an `enum` of one, `oneOf` an `anyOf`. So two serializers of one shape have one schema, and its text is stable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from logpipe_signals.exceptions import DeclarationError
from logpipe_signals.pydantic_serializers import is_pydantic
from logpipe_signals.registry import SerializerClass

Schema = Mapping[str, Any]
Direction = Literal["sent", "accepted"]

SAYS_NOTHING = frozenset(
    {"$schema", "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"externalDocs", "xml", "discriminator", "contentEncoding", "contentMediaType"}
)
"""Keywords that are no shape."""
BY_NAME = ("properties", "$defs", "patternProperties", "dependentSchemas")
ALONE = ("items", "additionalProperties", "propertyNames", "not", "contains", "unevaluatedProperties")
LISTED = ("anyOf", "allOf", "prefixItems")
LIMITS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    A serializer's schema.

    untold: Names of fields whose type cannot be told; they take anything.
    """

    schema: Schema
    untold: tuple[str, ...] = ()


def shape_of(serializer_class: SerializerClass, direction: Direction) -> Shape:
    """
    Return what a serializer sends, or what it accepts.

    Raises:
        DeclarationError: The extra `schema` is not installed, or the serializer cannot be looked into.
    """
    model = getattr(serializer_class, "pydantic_model", serializer_class)
    if is_pydantic(model):
        return Shape(schema=_pydantic(model, direction))
    return _drf(serializer_class, direction)


def _drf(serializer_class: SerializerClass, direction: Direction) -> Shape:
    spectacular = load_spectacular()
    try:
        found = spectacular.shape(serializer_class, "response" if direction == "sent" else "request")
    except Exception as error:
        raise DeclarationError(
            f"The schema of {serializer_class.__qualname__} cannot be told: {type(error).__name__}: {error}"
        ) from error
    schema, components, untold = found
    normal = plain(inlined({**schema, "$defs": dict(components)}))
    return Shape(schema=closed(normal) if direction == "sent" else normal, untold=untold)


def load_spectacular() -> Any:
    """
    Return the adapter.

    Raises:
        DeclarationError: drf-spectacular or jsonschema is not installed.
    """
    try:
        import jsonschema  # noqa: F401

        from logpipe_signals.schemas import spectacular
    except ImportError as error:
        raise DeclarationError(
            f"Schemas need {error.name!r}, which is not installed: pip install 'logpipe_signals[schema]'"
        ) from error
    return spectacular


def _pydantic(model: Any, direction: Direction) -> Schema:
    accepted: Schema = plain(inlined(model.model_json_schema(mode="validation")))
    if direction == "accepted":
        return accepted
    schema: Schema = plain(inlined(model.model_json_schema(mode="serialization")))
    declared_optional = accepted.get("properties", {}).keys() - set(accepted.get("required", ()))
    optional = sorted(declared_optional & set(schema.get("required", ())))
    sent: Schema = closed({**schema, "x-optional": optional} if optional else schema)
    return sent


# --- references -------------------------------------------------------------------------------------------------------


def inlined(schema: Schema) -> Schema:
    """
    Put what is referred to in its place, so that the names of nested classes are no part of the shape.

    What refers to itself stays in `$defs`.
    """
    definitions = schema.get("$defs", {})
    kept: dict[str, Any] = {}
    found: Schema = _inlined({key: value for key, value in schema.items() if key != "$defs"}, definitions, (), kept)
    return {**found, "$defs": kept} if kept else found


def _inlined(node: Any, definitions: Mapping[str, Any], within: tuple[str, ...], kept: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(one, definitions, within, kept) for one in node]
    if not isinstance(node, Mapping):
        return node
    inner = {key: _inlined(one, definitions, within, kept) for key, one in node.items() if key != "$ref"}
    reference = node.get("$ref")
    name = str(reference).rpartition("/")[2]
    if not isinstance(reference, str) or name not in definitions:
        return {**inner, "$ref": _inlined(reference, definitions, within, kept)} if "$ref" in node else inner
    if name in within:
        kept.setdefault(name, None)
        if kept[name] is None:
            kept[name] = {}
            kept[name] = _inlined(definitions[name], definitions, (name,), kept)
        return {**inner, "$ref": f"#/$defs/{name}"}
    target = _inlined(definitions[name], definitions, (*within, name), kept)
    says = {key for key in inner if key not in SAYS_NOTHING}
    return {"allOf": [target, inner]} if says & target.keys() else {**target, **inner}


# --- one dialect ------------------------------------------------------------------------------------------------------


def plain(schema: Any) -> Any:
    """Return a schema in the dialect of this module, with everything in a stable order."""
    if not isinstance(schema, Mapping):
        return schema
    if all(key.startswith("x-") or key in SAYS_NOTHING for key in schema):
        return {key: schema[key] for key in schema if key == "x-optional"}
    found = {key: value for key, value in schema.items() if key not in SAYS_NOTHING and _is_kept(key)}
    _join_alternatives(found)
    for key in found.keys() & set(BY_NAME):
        found[key] = {name: plain(found[key][name]) for name in sorted(found[key])}
    for key in found.keys() & set(ALONE):
        found[key] = plain(found[key])
    for key in found.keys() & set(LISTED):
        found[key] = [plain(one) for one in found[key]]
    _simplify(found)
    return {key: found[key] for key in sorted(found)}


def _is_kept(key: str) -> bool:
    return key == "x-optional" or not key.startswith("x-")


def _join_alternatives(found: dict[str, Any]) -> None:
    alternatives = [*found.pop("anyOf", ()), *found.pop("oneOf", ())]
    if alternatives:
        found["anyOf"] = alternatives
    if found.pop("nullable", False) and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]


def _simplify(found: dict[str, Any]) -> None:
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found:
        found["enum"] = sorted(unique(found["enum"]), key=json.dumps)
    if isinstance(found.get("type"), list):
        types = sorted(set(found["type"]), key=lambda name: (name == "null", name))
        found["type"] = types[0] if len(types) == 1 else types
    for exclusive, inclusive in LIMITS.items():
        if found.get(exclusive) is True:  # as OpenAPI 3.0 has it
            found[exclusive] = found.pop(inclusive)
        elif found.get(exclusive) is False:
            del found[exclusive]
    if "string" not in _types(found):
        found.pop("format", None)  # int64, double: the limits say it
    for key in ("required", "x-optional"):
        if key in found:
            found[key] = sorted(found[key])
            if not found[key]:
                del found[key]
    _merge(found, "allOf")
    _merge(found, "anyOf")
    _fold_null(found)


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _merge(found: dict[str, Any], key: str) -> None:
    """A list of one is that one."""
    if len(found.get(key, ())) == 1 and not found.keys() & found[key][0].keys():
        found.update(found.pop(key)[0])


def _fold_null(found: dict[str, Any]) -> None:
    """`anyOf: [X, null]` is X that may be null, where X has a type of its own."""
    alternatives = found.get("anyOf")
    if alternatives is None:
        return
    others = [one for one in alternatives if one != {"type": "null"}]
    if {} in others:
        del found["anyOf"]
    elif len(others) == 1 and len(others) < len(alternatives) and "type" in others[0] and set(found) == {"anyOf"}:
        only = others[0]
        found.clear()
        found.update(only)
        found["type"] = sorted({*_types(only), "null"}, key=lambda name: (name == "null", name))
        if "enum" in found and None not in found["enum"]:
            found["enum"] = sorted([*found["enum"], None], key=json.dumps)


def unique(values: list[Any]) -> list[Any]:
    """Return the values without repetitions; True and 1 are two values."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def closed(schema: Any) -> Any:
    """Return the schema of a writer: an object has the members it names and no others, unless it says so."""
    return _with_objects(schema, _close)


def opened(schema: Any) -> Any:
    """Return the schema of a reader of what is sent: it passes over members it does not know."""
    return _with_objects(schema, _open)


def _close(found: Schema) -> Schema:
    if "properties" in found and "additionalProperties" not in found and "patternProperties" not in found:
        return {"additionalProperties": False, **found}
    return found


def _open(found: dict[str, Any]) -> Schema:
    optional = set(found.pop("x-optional", ()))
    if required := [name for name in found.pop("required", ()) if name not in optional]:
        found["required"] = required
    if found.get("additionalProperties") is False:
        del found["additionalProperties"]
    return found


def _with_objects(schema: Any, change: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for key in found.keys() & set(BY_NAME):
        found[key] = {name: _with_objects(one, change) for name, one in found[key].items()}
    for key in found.keys() & set(ALONE):
        found[key] = _with_objects(found[key], change)
    for key in found.keys() & set(LISTED):
        found[key] = [_with_objects(one, change) for one in found[key]]
    return change(found)
