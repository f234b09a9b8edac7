"""JSON schemas of messages: each whole in a file of its own, and all of them as parts of the AsyncAPI document."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

Schema = dict[str, Any]
_NOISE = ("title", "discriminator")
"""Titles that repeat the name; and what OpenAPI means by discriminator, which AsyncAPI means otherwise."""
_EMPTY = (("default", None), ("additionalProperties", False))
"""What says nothing; and that our models know all fields that there are today, for readers ignore those to come."""
_NAMES = ("properties", "$defs")
"""Below these stand names of ours, and no words of a schema."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message by its name in the documents. `is_ours`: we write it, and leave out what is None.

    `told_by`: the field by which a request and its reply are known to belong together.
    """

    name: str
    model: type[BaseModel]
    is_ours: bool
    told_by: str | None = None

    @property
    def mode(self) -> JsonSchemaMode:
        return "serialization" if self.is_ours else "validation"


def whole(spoken: Spoken) -> Schema:
    """The schema of one message, with all that it refers to."""
    schema: Schema = _plain(spoken.model.model_json_schema(mode=spoken.mode))
    if spoken.is_ours:
        schema = _always_there(schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{spoken.name}.json"}
    return head | {"title": spoken.name} | schema


def parts(messages: Iterable[Spoken], prefix: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Of each message by its name what stands for its schema; and all schemas by name, in the words of draft 7."""
    asked = {spoken.name: spoken for spoken in messages}
    found, everything = models_json_schema(
        [(spoken.model, spoken.mode) for spoken in asked.values()],
        ref_template=f"#/components/schemas/{prefix}.{{model}}",
    )
    schemas = {f"{prefix}.{name}": _draft_7(_plain(schema)) for name, schema in everything.get("$defs", {}).items()}
    places = {name: found[spoken.model, spoken.mode] for name, spoken in asked.items()}
    for name, spoken in asked.items():
        if spoken.is_ours:
            of_it = places[name]["$ref"].rpartition("/")[2]
            schemas[of_it] = _always_there(schemas[of_it])
    return places, dict(sorted(schemas.items()))


def _always_there(schema: Schema) -> Schema:
    """What we write is always there, unless it may be null."""
    fields = schema.get("properties", {})
    return schema | {"required": [name for name, part in fields.items() if not _may_be_null(part)]}


def _may_be_null(part: Schema) -> bool:
    return any(one.get("type") == "null" for one in part.get("anyOf", ()))


def _plain(schema: Any, is_names: bool = False) -> Any:
    """The schema without noise."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _plain(part, not is_names and name in _NAMES)
        for name, part in schema.items()
        if is_names or (name not in _NOISE and (name, part) not in _EMPTY)
    }


def _draft_7(schema: Any) -> Any:
    """Draft 7 reads nothing beside a reference."""
    if isinstance(schema, list):
        return [_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: _draft_7(part) for name, part in schema.items()}
    if "$ref" in parts and len(parts) > 1:
        return {"allOf": [{"$ref": parts.pop("$ref")}]} | parts
    return parts
