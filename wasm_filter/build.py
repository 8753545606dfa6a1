#!/usr/bin/env python3
"""Builds the WebAssembly modules, and the manifest that says what they were built from.

Usage::

    python wasm_filter/build.py              # build into wasm_filter/dist, which is committed
    python wasm_filter/build.py --out DIR    # build elsewhere; HFI_MODULES_DIR=DIR makes HFI use it
    python wasm_filter/build.py --check      # is dist what the sources say? needs no Rust

Needs nothing but Python's standard library and, except for ``--check``, a Rust compiler that knows
``wasm32-unknown-unknown``: rustup's with the target added, or Debian's with its own standard library built on
the way. That target, and not a WASI one, because the validator must have no imports at all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
DIST = ROOT / "dist"
TARGET = "wasm32-unknown-unknown"
#: Crate to module. Cargo writes a library's name with underscores, which is the module's name as well.
MODULES = {"hfi-filter": "hfi_filter.wasm", "hfi-validator": "hfi_validator.wasm"}
MANIFEST = "manifest.json"

MISSING = f"""\
No Rust compiler here can build for {TARGET}. One of these gives one:
  rustup target add {TARGET}
  apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld    # Debian
The committed modules in wasm_filter/dist need none; this is only for changing them."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler that can build the modules, and how it is called."""

    cargo: str
    rustc: str
    sysroot: Path
    builds_std: bool

    @property
    def version(self) -> str:
        """What the compiler says it is."""
        return _output(self.rustc, "--version")

    def command(self, target_directory: Path) -> list[str]:
        """The cargo command that builds every module."""
        command = [self.cargo, "build", "--release", "--locked", "--target", TARGET]
        command += ["--target-dir", str(target_directory)]
        if self.builds_std:
            command.append("-Zbuild-std=std,panic_abort")
        for crate in MODULES:
            command += ["--package", crate]
        return command

    def environment(self) -> dict[str, str]:
        """The environment of that command. Paths of this machine do not get into the modules."""
        cargo_home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        renamed = {ROOT: "hfi", cargo_home: "cargo", self.sysroot / "lib/rustlib/src/rust": "rust"}
        flags = [f"--remap-path-prefix={path}={name}" for path, name in renamed.items()]
        environment = {
            **os.environ,
            "RUSTC": self.rustc,
            "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
            "HFI_BUILD": sources_digest()[:12],  # What the filter says in Envoy's log when it starts.
        }
        if self.builds_std:
            # Building std is a nightly feature; for a distribution's compiler this is the way to it.
            environment["RUSTC_BOOTSTRAP"] = "1"
        return environment


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def find_toolchain() -> Toolchain | None:
    """The first compiler on PATH, or Debian's, that can build for the target."""
    places = [shutil.which("rustc"), "/usr/bin/rustc"]
    for rustc in dict.fromkeys(place for place in places if place is not None and Path(place).exists()):
        cargo = Path(rustc).with_name("cargo")
        if not cargo.exists():
            continue
        sysroot = Path(_output(rustc, "--print", "sysroot"))
        has_target = (sysroot / "lib/rustlib" / TARGET / "lib").is_dir()
        has_sources = (sysroot / "lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
        # A rustup compiler has sources only where somebody added them, so this takes Debian's as a rule.
        if has_target or has_sources:
            return Toolchain(str(cargo), rustc, sysroot, builds_std=not has_target)
    return None


def sources() -> list[Path]:
    """Every file that a module is made from."""
    crates = ("engine", "plugin", "validator")
    files = [ROOT / name for name in ("build.py", "Cargo.toml", "Cargo.lock")]
    files += [ROOT / crate / "Cargo.toml" for crate in crates]
    for crate in crates:
        files += (ROOT / crate / "src").rglob("*.rs")
    return sorted(file for file in files if file.exists())


def sources_digest() -> str:
    """The hex SHA-256 of all sources, names and contents."""
    digest = hashlib.sha256()
    for file in sources():
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def build(out: Path) -> None:
    """Build every module into ``out``, and its manifest. Raises SystemExit when that cannot be done."""
    toolchain = find_toolchain()
    if toolchain is None:
        raise SystemExit(MISSING)
    before = sources_digest()
    target_directory = ROOT / "target" / "modules"
    built = subprocess.run(toolchain.command(target_directory), cwd=ROOT, env=toolchain.environment(), check=False)
    if built.returncode != 0:
        raise SystemExit("the build failed; what cargo said is above")
    if sources_digest() != before:
        raise SystemExit("the sources changed during the build; run it again")
    out.mkdir(parents=True, exist_ok=True)
    modules = {}
    for name in MODULES.values():
        code = (target_directory / TARGET / "release" / name).read_bytes()
        (out / name).write_bytes(code)
        modules[name] = {"sha256": hashlib.sha256(code).hexdigest(), "size": len(code)}
        print(f"{out / name}: {len(code):,} bytes")
    manifest = {
        "version": tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"],
        "sources_sha256": before,
        "compiler": toolchain.version,
        "modules": modules,
    }
    # Last: a build that is cut off leaves modules that do not agree with their manifest, which is noticed.
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def check(directory: Path) -> list[str]:
    """What is wrong with the modules in ``directory``; empty when they are what the sources say."""
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        return [f"{directory / MANIFEST} cannot be read: {error}"]
    problems = []
    if manifest.get("sources_sha256") != sources_digest():
        problems.append("the sources have changed since the modules were built")
    for name in MODULES.values():
        module = directory / name
        expected = manifest.get("modules", {}).get(name, {}).get("sha256")
        if not module.exists():
            problems.append(f"{name} is missing")
        elif hashlib.sha256(module.read_bytes()).hexdigest() != expected:
            problems.append(f"{name} is not the module that the manifest names")
    return problems


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build HFI's WebAssembly modules, or check those that are there.")
    parser.add_argument("--check", action="store_true", help="only check modules against sources; needs no Rust")
    parser.add_argument("--out", type=Path, default=DIST, help="the modules' directory (default: wasm_filter/dist)")
    arguments = parser.parse_args()
    if not arguments.check:
        build(arguments.out)
        return
    problems = check(arguments.out)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise SystemExit("build them anew with: python wasm_filter/build.py")
    print(f"the modules in {arguments.out} are those of the sources")


if __name__ == "__main__":
    main()
