"""A stand-in for the stream of rules: what a control plane would never send, to a filter that has to bear it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

#: A poll without news is answered after this time, much earlier than the filter asks for.
PATIENCE_SECONDS = 1.0


class FakeStream:
    """Answers polls with the snapshot that was shown last. ``http`` is where."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._version = 0
        self._data = b""
        #: How far readers say that they are.
        self.asked_with: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-stream", daemon=True)
        self._thread.start()

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def show(self, *rules: Any, now_ms: int = 1_764_000_000_000) -> str:
        """A new snapshot of these rules, as they are; answers its version."""
        version = self._version + 1
        snapshot = {"version": str(version), "epoch": "fake", "server_time_ms": now_ms, "rules": list(rules)}
        return self.show_data(json.dumps(snapshot).encode())

    def show_data(self, data: bytes) -> str:
        """The same for a snapshot that may be none at all."""
        with self._news:
            self._version += 1
            self._data = data
            self._news.notify_all()
            return str(self._version)

    def applied(self, version: str) -> bool:
        """Whether a reader has asked for what comes after that version."""
        return version in list(self.asked_with)

    def _answer(self, known: str) -> tuple[str, bytes]:
        with self._news:
            self.asked_with.append(known)
            news = self._news.wait_for(lambda: self._version and str(self._version) != known, PATIENCE_SECONDS)
            if not news:
                return known or "0", b": nothing new\n\n"
            return str(self._version), b"id: %d\nevent: update\ndata: %b\n\n" % (self._version, self._data)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                version, body = stream._answer(self.headers.get("last-event-id", ""))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(body)))
                self.send_header("x-hfi-version", version)
                self.send_header("x-hfi-epoch", "fake")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler
