"""A gRPC application without a schema: messages are bytes, and a method's name says of which kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc

SERVICE = "echo.v1.Echo"
#: What a streaming answer is made of.
PIECES = 3
#: For channels of tests: no proxy of the environment, and no connection that another channel of this process has.
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
#: A call that somebody keeps open would hold a thread; nobody opens as many.
THREADS = 16


def method(name: str) -> str:
    """The full name of ``Unary``, ``ServerStream``, ``ClientStream`` or ``Bidi``, with anything behind it."""
    return f"/{SERVICE}/{name}"


class GrpcUpstream(grpc.GenericRpcHandler):
    """Listens on a free port of 127.0.0.1. ``called`` are the methods, in order, with the metadata of each."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, str]]] = []
        # Envoy's connections are to reach this server, and not that of another test run.
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(THREADS), handlers=[self], options=options)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait(10)

    def methods(self) -> list[str]:
        """The names of the methods that were called."""
        return [name for name, _ in self.called]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        metadata = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}
        self.called.append((details.method, metadata))
        name = details.method.rpartition("/")[2]
        if name.startswith("ServerStream"):
            return grpc.unary_stream_rpc_method_handler(_repeat)
        if name.startswith("ClientStream"):
            return grpc.stream_unary_rpc_method_handler(_join)
        if name.startswith("Bidi"):
            return grpc.stream_stream_rpc_method_handler(_echo_each)
        return grpc.unary_unary_rpc_method_handler(_echo)


def _echo(message: bytes, _: object) -> bytes:
    return message


def _repeat(message: bytes, _: object) -> Iterator[bytes]:
    return iter([message] * PIECES)


def _join(messages: Iterator[bytes], _: object) -> bytes:
    return b"".join(messages)


def _echo_each(messages: Iterator[bytes], _: object) -> Iterator[bytes]:
    yield from messages
