"""Which modules there are: the bytes, checked against the manifest they were built with."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from hfi_core.errors import ModuleUnavailable

FILTER = "hfi_filter.wasm"
VALIDATOR = "hfi_validator.wasm"
MANIFEST = "manifest.json"
#: Names another directory of modules; how a freshly built module is tried before it is committed.
DIRECTORY_VARIABLE = "HFI_MODULES_DIR"


@dataclass(frozen=True, slots=True)
class FilterModule:
    """One compiled module. ``digest`` is the hex SHA-256 of ``code``; ``version`` is that of the sources."""

    name: str
    version: str
    digest: str
    code: bytes


def modules_directory() -> Path:
    """Where the modules are: named by the environment, in the installed package, or beside their sources."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named)
    here = Path(__file__).resolve().parent
    packaged = here / "dist"
    return packaged if packaged.is_dir() else here.parent.parent / "wasm_filter" / "dist"


def load_module(name: str, directory: Path | None = None) -> FilterModule:
    """The module of that name. Raises :class:`ModuleUnavailable` when it is missing or not what it should be."""
    where = directory or modules_directory()
    try:
        manifest = json.loads((where / MANIFEST).read_text())
        expected = manifest["modules"][name]["sha256"]
        version = manifest["version"]
        code = (where / name).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModuleUnavailable(
            f"the module {name} cannot be read from {where} ({error!r}); build it with: python wasm_filter/build.py"
        ) from error
    digest = hashlib.sha256(code).hexdigest()
    if digest != expected:
        raise ModuleUnavailable(
            f"{where / name} has digest {digest}, and its manifest says {expected}; "
            "build it anew with: python wasm_filter/build.py"
        )
    return FilterModule(name, str(version), digest, code)
