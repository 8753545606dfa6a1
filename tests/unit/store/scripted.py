"""A member that says what a test tells it to, over real gRPC: for what a real etcd cannot be brought to do at will."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from hfi_core.store.etcd_client.methods import AUTHENTICATE, RANGE, WATCH, Method
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings

Context = aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[AsyncIterator[pb.WatchRequest], Context], AsyncIterator[pb.WatchResponse]]


class Scripted(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """``on_range`` and so on may be replaced at any time; calls are counted."""

    def __init__(self) -> None:
        self.port = 0
        self.logins = 0
        self.ranges = 0
        self.watches = 0
        self.valid = {"token-1"}
        self.guarded = False
        self.on_range: Unary = self._range
        self.on_login: Unary = self._authenticate
        self.on_watch: Stream = self._watch

    @property
    def settings(self) -> EtcdSettings:
        return EtcdSettings(
            (f"127.0.0.1:{self.port}",),
            attempt_seconds=0.5,
            request_seconds=1.5,
            heartbeat_seconds=0.2,
            hung_seconds=0.5,
        )

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        async def on_range(request: Any, context: Context) -> Message:
            self.ranges += 1
            return await self.on_range(request, context)

        async def on_login(request: Any, context: Context) -> Message:
            self.logins += 1
            return await self.on_login(request, context)

        async def on_watch(requests: AsyncIterator[pb.WatchRequest], context: Context) -> AsyncIterator[Message]:
            self.watches += 1
            async for response in self.on_watch(requests, context):
                yield response

        unary: dict[str, tuple[Method[Any, Any], Unary]] = {
            RANGE.path: (RANGE, on_range),
            AUTHENTICATE.path: (AUTHENTICATE, on_login),
        }
        path: str = details.method
        if path in unary:
            method, behaviour = unary[path]
            return grpc.unary_unary_rpc_method_handler(
                behaviour,
                request_deserializer=method.request.FromString,
                response_serializer=method.answer.SerializeToString,
            )
        if path == WATCH.path:
            return grpc.stream_stream_rpc_method_handler(
                on_watch,
                request_deserializer=pb.WatchRequest.FromString,
                response_serializer=pb.WatchResponse.SerializeToString,
            )
        return None

    async def check(self, context: Context) -> None:
        """Refuse a token that is not valid."""
        if self.guarded and dict(context.invocation_metadata() or ()).get("token") not in self.valid:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")

    async def _range(self, request: pb.RangeRequest, context: Context) -> Message:
        await self.check(context)
        return pb.RangeResponse(header=pb.ResponseHeader(revision=10, cluster_id=1))

    async def _authenticate(self, request: pb.AuthenticateRequest, context: Context) -> Message:
        token = f"token-{self.logins}"
        self.valid.add(token)
        return pb.AuthenticateResponse(token=token)

    async def _watch(
        self, requests: AsyncIterator[pb.WatchRequest], context: Context
    ) -> AsyncIterator[pb.WatchResponse]:
        await self.check(context)
        async for request in requests:
            created = request.WhichOneof("request_union") == "create_request"
            yield pb.WatchResponse(
                header=pb.ResponseHeader(revision=10), created=created, watch_id=0 if created else -1
            )


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """A member that listens; ended after."""
    script = Scripted()
    server = aio.server(handlers=[script])
    script.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield script
    finally:
        await server.stop(grace=None)
