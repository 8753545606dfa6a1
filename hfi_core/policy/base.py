"""What every part of a policy document has in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError


class Document(BaseModel):
    """A frozen part of a document. Unknown fields are errors: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def written(cls, field: str) -> str:
        """The name of a field as documents write it."""
        return cls.model_fields[field].alias or field


def _problem(detail: str) -> PydanticCustomError:
    return PydanticCustomError("policy", "{detail}", {"detail": detail})


class ApiDocument(Document):
    """A whole document of the API. ``status`` is the server's: what was read can be sent back as it is."""

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, data: Any) -> Any:
        if isinstance(data, dict) and "status" in data:
            return {key: value for key, value in data.items() if key != "status"}
        return data


def check(condition: bool, detail: str) -> None:
    """Report ``detail`` as a problem of the value being validated, unless ``condition`` holds."""
    if not condition:
        raise _problem(detail)


def check_members(problems: Iterable[tuple[tuple[str, ...], str]]) -> None:
    """Report each detail at a place within the value being validated, unless there is none.

    For what is known only when the whole value is there, and yet is wrong at one member of it.
    """
    details = [InitErrorDetails(type=_problem(detail), loc=place, input=None) for place, detail in problems]
    if details:
        raise ValidationError.from_exception_data("policy", details)


def given(model: Document, fields: Iterable[str]) -> list[str]:
    """Which of these fields, of those that have no default but None, are there; as documents write them."""
    return [model.written(field) for field in fields if getattr(model, field) is not None]


def exactly_one(model: Document, fields: tuple[str, ...]) -> str:
    """Which of these fields is there, as documents write it; a problem unless it is exactly one."""
    there = given(model, fields)
    expected = ", ".join(model.written(field) for field in fields)
    check(len(there) > 0, f"needs exactly one of {expected}")
    check(len(there) < 2, f"holds {' and '.join(there)}; exactly one of {expected} is allowed")
    return there[0]
