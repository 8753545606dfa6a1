"""The parts of a description, as JSON values. Nothing here knows what HFI is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfi_sse.problems import MEDIA_TYPE as PROBLEM

Json = dict[str, Any]
SCHEMAS = "#/components/schemas/"

TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
VERSION: Json = {"type": "string", "pattern": "^[0-9]+$"}


def ref(name: str) -> Json:
    """A schema by its name."""
    return {"$ref": SCHEMAS + name}


def obj(properties: Json, *required: str, description: str | None = None) -> Json:
    """The schema of an object."""
    schema: Json = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    if description is not None:
        schema["description"] = description
    return schema


def page(item: Json, **more: Json) -> Json:
    """The schema of one page of a list."""
    properties = {
        "items": {"type": "array", "items": item},
        "next": {"type": ["string", "null"], "description": "`after` of the next page; null on the last"},
        "version": {"type": ["string", "null"]},
    }
    return obj({**properties, **more}, "items", "next", "version")


def content(schema: Json, *media_types: str) -> Json:
    """A body of that schema, in any of those media types."""
    return {media_type: {"schema": schema} for media_type in media_types}


def response(description: str, content: Json | None, *headers: str) -> Json:
    """A response; ``content`` is None for one without a body."""
    response: Json = {"description": description}
    if content is not None:
        response["content"] = content
    if headers:
        response["headers"] = {name: {"schema": TEXT} for name in headers}
    return response


def problems(*statuses: int) -> Json:
    """Problem responses of those statuses."""
    # 500 can befall every operation.
    return {str(status): response("A problem", content(ref("Problem"), PROBLEM)) for status in (*statuses, 500)}


def operation(
    name: str, summary: str, parameters: list[Json], ok: Json, *failures: int, also: Mapping[str, Json] | None = None
) -> Json:
    """An operation that answers ``ok`` as 200, or a problem of one of those statuses."""
    responses = {"200": ok, **(also or {}), **problems(*failures)}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}


def parameter(where: str, name: str, description: str, schema: Json) -> Json:
    """A parameter."""
    return {"name": name, "in": where, "required": where == "path", "description": description, "schema": schema}


def query(name: str, description: str, schema: Json) -> Json:
    """A query parameter."""
    return parameter("query", name, description, schema)


def header(name: str, description: str) -> Json:
    """A request header."""
    return parameter("header", name, description, TEXT)


def in_path(name: str, description: str) -> Json:
    """A part of the path."""
    return parameter("path", name, description, TEXT)
