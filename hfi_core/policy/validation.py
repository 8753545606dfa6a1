"""From a document to a :class:`~hfi_core.policy.model.Policy`, or to every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from hfi_core.errors import PolicyInvalid, Problem
from hfi_core.policy.model import Policy

#: Answers the problems that the rule engine has with a document.
EngineCheck = Callable[[Any], Sequence[Problem]]

#: pydantic's words for what HFI's users meet most, in the words of a policy's author.
_DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field; look for a typing error",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
}


def pointer(path: Sequence[str | int]) -> str:
    """The RFC 6901 JSON pointer of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _location(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    # pydantic marks a mapping's bad *key* with a last step "[key]": the member itself is what to point at.
    return location[:-1] if location and location[-1] == "[key]" else location


def _worded(message: str) -> str:
    # Documents have fields and not inputs: "Input should be greater than 0".
    return message.replace("Input should be", "must be", 1)


def shape_problems(error: ValidationError) -> tuple[Problem, ...]:
    """What pydantic found, as problems with pointers; the engine's own wording where there is one."""
    return tuple(
        Problem(pointer(_location(item["loc"])), _DETAILS.get(item["type"]) or _worded(item["msg"]))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )


def validate(document: Any, engine_check: EngineCheck) -> Policy:
    """The policy that a document says. Raises :class:`PolicyInvalid` with every problem, each at its place.

    The shape is checked here and the whole document by the engine that will run it. Of a place where both
    see a problem, one is reported.
    """
    try:
        policy: Policy | None = Policy.model_validate(document)
        problems: tuple[Problem, ...] = ()
    except ValidationError as error:
        policy = None
        problems = shape_problems(error)
    first_at: dict[str, Problem] = {}
    for problem in (*problems, *engine_check(document)):
        first_at.setdefault(problem.pointer, problem)
    if policy is None or first_at:
        raise PolicyInvalid(tuple(first_at.values()))
    return policy
