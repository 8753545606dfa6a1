"""The rule engine itself, asked from Python: the data plane's own code, compiled to WebAssembly.

So what the API accepts the data plane can run, and what ``explain`` answers is what a proxy would do. The
module has no imports: it cannot read a clock, a file or the network.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hfi_core.errors import ModuleUnavailable, Problem
from hfi_core.modules.catalogue import VALIDATOR, load_module
from hfi_core.policy.compilation import compile_apart


class RuleEngine:
    """One instance of the engine. Calls take microseconds to a few milliseconds and do not block on IO.

    The module is compiled on first use. Calls from several threads take turns: an instance has one memory.
    Raises :class:`ModuleUnavailable` when the module is missing, damaged, or traps.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._instance: _Instance | None = None
        self._turn = threading.Lock()

    def check(self, document: Any) -> Sequence[Problem]:
        """Every problem the engine has with a policy document; empty when it would run it."""
        answer = cast(list[dict[str, str]], self._call("hfi_check", document))
        return tuple(Problem(item["pointer"], item["detail"]) for item in answer)

    def explain(self, snapshot: Mapping[str, Any], request: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        """Which rule decides a request: ``decision``, ``steps`` and ``none_probability``.

        ``snapshot`` is the data of an update event; ``request`` has ``method``, ``path`` and ``headers``, a
        list of name and value pairs; and ``status``, where it is known with which the upstream answers.
        """
        question = {"snapshot": snapshot, "now_ms": now_ms, "request": request}
        return cast(dict[str, Any], self._call("hfi_explain", question))

    def warm_up(self) -> None:
        """Compile now and not at the first request."""
        self.check({})

    def _call(self, function: str, question: Any) -> Any:
        text = json.dumps(question, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
            errors="surrogatepass"
        )
        with self._turn:
            if self._instance is None:
                self._instance = _Instance(self._directory)
            try:
                return json.loads(self._instance.call(function, text))
            except Exception:
                # After a trap the instance's memory is not to be trusted; the next call gets a new one.
                self._instance = None
                raise


class _Instance:
    """The module in a wasmtime store, and the calling convention: UTF-8 JSON in and out of its memory."""

    def __init__(self, directory: Path | None) -> None:
        # Imported here: wasmtime takes a noticeable time to load, and most users of the models need no engine.
        import wasmtime

        module = load_module(VALIDATOR, directory)
        self._wasmtime = wasmtime
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        try:
            compiled = wasmtime.Module.deserialize(engine, compile_apart(module.code))
            instance = wasmtime.Instance(self._store, compiled, [])
        except wasmtime.WasmtimeError as error:
            raise ModuleUnavailable(f"{VALIDATOR} is not a module that can be run: {error}") from error
        exports = instance.exports(self._store)
        self._exports = exports
        self._memory = cast(wasmtime.Memory, exports["memory"])

    def call(self, function: str, text: bytes) -> bytes:
        try:
            pointer = self._function("hfi_alloc")(self._store, len(text))
            self._memory.write(self._store, text, pointer)
            packed = self._function(function)(self._store, pointer, len(text)) & (2**64 - 1)
            self._function("hfi_free")(self._store, pointer, len(text))
            at, length = packed >> 32, packed & 0xFFFF_FFFF
            answer = bytes(self._memory.read(self._store, at, at + length))
            self._function("hfi_free")(self._store, at, length)
            return answer
        except (self._wasmtime.WasmtimeError, self._wasmtime.Trap) as error:
            raise ModuleUnavailable(f"the rule engine failed in {function}: {error}") from error

    def _function(self, name: str) -> Any:
        return self._exports[name]
