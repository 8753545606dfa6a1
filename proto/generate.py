"""Generate Python from the protobuf sources: ``python proto/generate.py [--check] [ROOT …]``.

Each root below is a directory of sources and the Python package that the result goes to. protoc is shown the
sources under that package's path, so that imports in the result, and the files' names in the descriptor
pool, are HFI's own and cannot meet those of another distribution. Sources of one root import each other by
that path: ``import "hfi_xds/pb/discovery.proto";``.

``--check`` generates into a temporary directory and fails when the repository holds anything else.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INSTALL = "pip install -c constraints.txt grpcio-tools mypy-protobuf"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


@dataclass(frozen=True, slots=True)
class Root:
    """Sources below ``proto/<sources>``; the result goes to ``package``. ``services``: gRPC stubs too."""

    sources: str
    package: str
    services: bool


ROOTS = (
    Root("etcd", "hfi_core/store/pb", services=False),
    Root("envoy", "hfi_xds/pb", services=False),
)


class GenerationFailed(Exception):
    """protoc refused, or is not there; the message says what to do."""


def generate(root: Root, into: Path) -> None:
    """Write the package of ``root`` below ``into``. Raises :class:`GenerationFailed`."""
    try:
        from grpc_tools import protoc
    except ImportError as error:
        raise GenerationFailed(f"grpcio-tools is missing: {INSTALL}") from error
    directory = REPOSITORY / "proto" / root.sources
    well_known = Path(protoc.__file__).parent / "_proto"
    # Not protoc's own --pyi_out: what it writes does not pass mypy --strict.
    plugins = {"mypy": "protoc-gen-mypy", **({"mypy_grpc": "protoc-gen-mypy_grpc"} if root.services else {})}
    arguments = ["protoc", f"-I{root.package}={directory}", f"-I{well_known}", f"--python_out={into}"]
    if root.services:
        arguments.append(f"--grpc_python_out={into}")
    for name, program in plugins.items():
        path = Path(sys.executable).with_name(program)
        if not path.exists():
            raise GenerationFailed(f"mypy-protobuf is missing: {INSTALL}")
        arguments += [f"--plugin=protoc-gen-{name}={path}", f"--{name}_out=quiet:{into}"]
    arguments += map(str, sorted(directory.rglob("*.proto")))
    if protoc.main(arguments) != 0:
        raise GenerationFailed(f"protoc refused the sources in {directory.relative_to(REPOSITORY)}")


def generated_files(package: Path) -> set[Path]:
    """What is generated in a package, relative to it."""
    return {path.relative_to(package) for pattern in GENERATED for path in package.rglob(pattern)}


def differences(root: Root, fresh: Path, kept: Path) -> list[str]:
    """What the kept package of ``root`` has that the fresh one has not, and the other way round."""
    new, old = fresh / root.package, kept / root.package
    found = []
    for path in sorted(generated_files(new) | generated_files(old)):
        one, other = new / path, old / path
        if not one.exists():
            found.append(f"{root.package}/{path} has no source any more")
        elif not other.exists():
            found.append(f"{root.package}/{path} is not there")
        elif not filecmp.cmp(one, other, shallow=False):
            found.append(f"{root.package}/{path} is not what its source says")
    return found


def write(root: Root, fresh: Path, kept: Path) -> None:
    """Replace what is generated in the package of ``root``."""
    for path in generated_files(kept / root.package):
        (kept / root.package / path).unlink()
    shutil.copytree(fresh / root.package, kept / root.package, dirs_exist_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, or check; the exit code."""
    parser = argparse.ArgumentParser(description="Generate Python from HFI's protobuf sources.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when something would change")
    names = [root.sources for root in ROOTS]
    parser.add_argument("root", nargs="*", metavar="ROOT", help=f"only these of {', '.join(names)}")
    options = parser.parse_args(arguments)
    check: bool = options.check
    if unknown := set(options.root) - set(names):
        parser.error(f"no such root: {', '.join(sorted(unknown))}")
    found: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        try:
            for root in ROOTS:
                if root.sources in (options.root or names) and (REPOSITORY / "proto" / root.sources).is_dir():
                    generate(root, fresh)
                    found += differences(root, fresh, REPOSITORY)
                    if not check:
                        write(root, fresh, REPOSITORY)
        except GenerationFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    for line in found:
        print(f"{'error' if check else 'written'}: {line}", file=sys.stderr if check else sys.stdout)
    if check and found:
        print("run: python proto/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
