"""What every part of a policy document has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Document(BaseModel):
    """A frozen part of a document. Unknown fields are errors: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check(condition: bool, detail: str) -> None:
    """Report ``detail`` as a problem of the value being validated, unless ``condition`` holds."""
    if not condition:
        raise PydanticCustomError("policy", "{detail}", {"detail": detail})
