"""Schemas of models for the API document: what pydantic writes as JSON Schema, in the words of OpenAPI 3.0."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.json_schema import models_json_schema

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_NOTHING: Schema = {"type": "string", "nullable": True, "enum": [None]}
"""Null and nothing else: 3.0 knows null only beside a type."""
_UNKNOWN = ("title", "$defs", "propertyNames")
"""Words that 3.0 does not know, and noise."""
_OLD, _AS_TEXT = "Old", "AsText"


class Schemas:
    """The schemas of all models, each under its name."""

    def __init__(self, models: Iterable[type[BaseModel]]) -> None:
        unique = list(dict.fromkeys(models))
        found, all_of_them = models_json_schema(
            [(model, "validation") for model in unique], by_alias=True, ref_template=_REFERENCE
        )
        self._names: dict[Any, str] = {
            model: found_at["$ref"].rpartition("/")[2] for (model, _), found_at in found.items()
        }
        self.components = {name: translated(schema) for name, schema in all_of_them.get("$defs", {}).items()}
        self._requests = {model: self.components[name] for model, name in self._names.items()}

    def of(self, models: Iterable[type[BaseModel]]) -> Schema:
        """A reference, to one of the models."""
        references = [reference(self._names[model]) for model in dict.fromkeys(models)]
        return references[0] if len(references) == 1 else {"anyOf": references}

    def request(self, model: type[BaseModel], is_old: bool, is_text: bool) -> str:
        """The name of the schema of what a request says.

        `is_old`: by the old names, where fields have some. `is_text`: in a form or a query, where it differs.
        """
        schema, name = self._requests[model], self._names[model]
        if is_old and any(len(names) > 1 for names in _names(model)):
            name = _OLD + name
        schema = _by_names(schema, _names(model), is_old)
        if is_text and (in_text := _in_text(schema)) != schema:
            schema, name = in_text, name + _AS_TEXT
        self.components[name] = schema
        return name


def reference(name: str) -> Schema:
    """What stands for the schema of that name."""
    return {"$ref": _REFERENCE.format(model=name)}


def _names(model: type[BaseModel]) -> Iterator[list[str]]:
    """All names of each field that a request may use, the new one first, the old one next."""
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        yield [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]


def _by_names(schema: Schema, fields: Iterable[list[str]], is_old: bool) -> Schema:
    """The schema with each field under its old or its new name, and the others in words."""
    properties: Schema = {}
    required: list[str] = []
    for names in fields:
        name = names[min(is_old, len(names) - 1)]
        part = schema["properties"][names[0]]
        others = ", ".join(other for other in names if other != name)
        described = " ".join(filter(None, (part.get("description", ""), others and f"Also: {others}.")))
        properties[name] = part | ({"description": described} if described else {})
        if names[0] in schema.get("required", ()):
            required.append(name)
    return schema | {"properties": properties} | ({"required": required} if required else {})


def _in_text(schema: Schema) -> Schema:
    """In forms and queries all is text: a list is a field that is repeated, so none is empty; parts stand in JSON."""
    properties = {}
    for name, part in schema.get("properties", {}).items():
        lists = [one for one in part.get("anyOf", ()) if one.get("type") == "array"]
        texts = [one for one in part.get("anyOf", ()) if one.get("type") == "string"]
        if lists:
            items = lists[0]["items"] or {"type": "string"}
            has_parts = items.get("type") == "array" or not items.keys() & {"type", "anyOf"}
            repeated = [] if has_parts else [{**lists[0], "items": items, "minItems": 1}]
            part = part | {"anyOf": [*repeated, *texts]}
        elif not part.keys() & {"type", "anyOf", "$ref", "allOf"}:
            part = {"type": "string", **part}
        properties[name] = part
    return schema | {"properties": properties}


def translated(schema: Schema) -> Schema:
    """A schema of JSON Schema 2020-12 as OpenAPI 3.0 writes it."""
    plain = {name: _part(name, part) for name, part in schema.items() if name not in _UNKNOWN}
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    if plain.get("type") == "null":
        return plain | _NOTHING
    if plain.get("default", ...) is None:
        del plain["default"]
    if "prefixItems" in plain:
        plain["items"] = {"anyOf": plain.pop("prefixItems")}
    if "$ref" in plain and len(plain) > 1:
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    if "anyOf" in plain:
        plain = _or_nothing(plain)
    return plain


def _part(name: str, part: Any) -> Any:
    if name == "properties":
        return {field: translated(schema) for field, schema in part.items()}
    if name in ("enum", "default", "required", "example"):
        return part
    if isinstance(part, dict):
        return translated(part)
    if isinstance(part, list):
        return [translated(one) if isinstance(one, dict) else one for one in part]
    return part


def _or_nothing(schema: Schema) -> Schema:
    """`nullable` where that is all that null adds to one plain type."""
    others: list[Schema] = [one for one in schema["anyOf"] if one != _NOTHING]
    if len(others) == len(schema["anyOf"]) or len(others) > 1 or "type" not in others[0]:
        return schema
    (only,) = others
    either: Schema = {name: part for name, part in schema.items() if name != "anyOf"} | only | {"nullable": True}
    if "enum" in either:
        either["enum"] = [*either["enum"], None]
    return either
