"""Takes exports away from a WebAssembly module.

The SDK exports every callback that there is, and Envoy crosses into the VM for each that is exported, whether anything
is done in it or not. A linker can be told to export more, but not less; so this rewrites the module's export section.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

_MAGIC = b"\0asm\x01\0\0\0"
_EXPORT_SECTION = 7


def exports(module: bytes) -> list[str]:
    """The names of what a module exports, in order. Raises ValueError when it is no module."""
    for section, start, end in _sections(module):
        if section == _EXPORT_SECTION:
            return [name for name, _ in _entries(module[start:end])]
    return []


def without(module: bytes, unwanted: Collection[str]) -> bytes:
    """The module without these exports.

    Raises ValueError when it is no module, or does not export one of them: the list is out of date then.
    """
    missing = set(unwanted) - set(exports(module))
    if missing:
        raise ValueError(f"the module does not export {', '.join(sorted(missing))}")
    result = bytearray(_MAGIC)
    for section, start, end in _sections(module):
        content = module[start:end]
        if section == _EXPORT_SECTION:
            kept = [entry for name, entry in _entries(content) if name not in unwanted]
            content = _number(len(kept)) + b"".join(kept)
        result += bytes([section]) + _number(len(content)) + content
    return bytes(result)


def _sections(module: bytes) -> Iterator[tuple[int, int, int]]:
    """Each section: its kind, and where its content begins and ends."""
    if module[: len(_MAGIC)] != _MAGIC:
        raise ValueError("not a WebAssembly module")
    at = len(_MAGIC)
    while at < len(module):
        length, start = _read(module, at + 1)
        yield module[at], start, start + length
        at = start + length


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Each export of an export section: its name, and all of its bytes."""
    count, at = _read(content, 0)
    for _ in range(count):
        length, name_at = _read(content, at)
        # Behind the name stand its kind, in one byte, and its index.
        _, end = _read(content, name_at + length + 1)
        yield content[name_at : name_at + length].decode(), content[at:end]
        at = end


def _read(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _number(number: int) -> bytes:
    """A number in unsigned LEB128."""
    result = bytearray()
    while number >= 0x80:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
