"""The golden set: policies that both languages read, and what each must say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent / "golden"


@dataclass(frozen=True)
class Golden:
    name: str
    document: Any
    problems: tuple[str, ...] = ()


def valid_policies() -> list[Golden]:
    return [
        Golden(path.stem, json.loads(path.read_text())) for path in sorted((ROOT / "policies/valid").glob("*.json"))
    ]


def invalid_policies() -> list[Golden]:
    cases = []
    for path in sorted((ROOT / "policies/invalid").glob("*.json")):
        case = json.loads(path.read_text())
        cases.append(Golden(path.stem, case["document"], tuple(case["problems"])))
    return cases
