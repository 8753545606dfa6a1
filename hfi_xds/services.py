"""The gRPC services: which method is served by what.

A table over the descriptors, instead of generated servicers: those are tied to the version of gRPC they were generated
with, and all that they hold is in the descriptors anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hfi_xds import pb, status_service, wire
from hfi_xds.admission import Caller
from hfi_xds.credentials import peer_of
from hfi_xds.gate import End
from hfi_xds.metrics_sink import MetricsSink
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE
from hfi_xds.session import delta_session, sotw_session
from hfi_xds.stream import Codec, DiscoveryStream, Shared

AGGREGATED = pb.DISCOVERY_FILE.services_by_name["AggregatedDiscoveryService"]
METRICS = pb.METRICS_FILE.services_by_name["MetricsService"]
STATUS = pb.CLIENT_STATUS_FILE.services_by_name["ClientStatusDiscoveryService"]
#: The services of one type: the type, and what its methods are about. Polling, ``Fetch…``, is UNIMPLEMENTED.
OF_ONE_TYPE = {
    pb.EXTENSION_FILE.services_by_name["ExtensionConfigDiscoveryService"]: (EXTENSION_CONFIG, "ExtensionConfigs"),
    pb.LISTENER_FILE.services_by_name["ListenerDiscoveryService"]: (LISTENER, "Listeners"),
    pb.CLUSTER_FILE.services_by_name["ClusterDiscoveryService"]: (CLUSTER, "Clusters"),
    pb.ROUTE_FILE.services_by_name["RouteDiscoveryService"]: (ROUTE, "Routes"),
    pb.ENDPOINT_FILE.services_by_name["EndpointDiscoveryService"]: (ENDPOINT, "Endpoints"),
}
SERVED = (AGGREGATED, *OF_ONE_TYPE, METRICS, STATUS)

_SOTW = Codec(wire.sotw_request, wire.sotw_response)
_DELTA = Codec(wire.delta_request, wire.delta_bytes)

#: Serves one stream: requests, the way to write a response, and whose it is; answers how the stream ends.
Serve = Callable[[AsyncIterator[Any], Callable[[Any], Awaitable[None]], Caller], Awaitable[End]]
#: Answers one request of a caller, or says why it is not answered.
Answer = Callable[[Any, Caller], Any | End]
_NO_CALLS: Mapping[str, Answer] = MappingProxyType({})


class Services:
    """The handlers of all methods. One for each server."""

    def __init__(self, shared: Shared, sink: MetricsSink, rejections: Rejections | None = None) -> None:
        self._shared = shared
        self._sink = sink
        # Shared by all streams: a node comes back on another one.
        self._rejections = Rejections() if rejections is None else rejections

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What a server is to be given."""
        return (
            self._service(
                AGGREGATED,
                {"StreamAggregatedResources": self._sotw(None), "DeltaAggregatedResources": self._delta(None)},
            ),
            *(
                self._service(service, {f"Stream{about}": self._sotw(type_url), f"Delta{about}": self._delta(type_url)})
                for service, (type_url, about) in OF_ONE_TYPE.items()
            ),
            self._service(
                METRICS, {"StreamMetrics": lambda requests, _, caller: self._sink.run(requests, self._shared, caller)}
            ),
            self._service(
                STATUS,
                {"StreamClientStatus": partial(status_service.stream, shared=self._shared)},
                {"FetchClientStatus": partial(status_service.fetch, shared=self._shared)},
            ),
        )

    def _sotw(self, only_type: str | None) -> Serve:
        return lambda requests, write, caller: DiscoveryStream(
            self._shared,
            sotw_session(self._rejections, only_type, self._shared.settings.resource_ttl_seconds),
            _SOTW,
            caller,
        ).run(requests, write)

    def _delta(self, only_type: str | None) -> Serve:
        return lambda requests, write, caller: DiscoveryStream(
            self._shared,
            delta_session(self._rejections, only_type, self._shared.settings.resource_ttl_seconds),
            _DELTA,
            caller,
        ).run(requests, write)

    def _service(
        self, service: ServiceDescriptor, streams: Mapping[str, Serve], calls: Mapping[str, Answer] = _NO_CALLS
    ) -> grpc.GenericRpcHandler[Any, Any]:
        handlers = {name: self._stream(service.methods_by_name[name], serve) for name, serve in streams.items()}
        handlers |= {name: self._call(service.methods_by_name[name], answer) for name, answer in calls.items()}
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _stream(self, method: MethodDescriptor, serve: Serve) -> grpc.RpcMethodHandler[Any, Any]:
        response = GetMessageClass(method.output_type)

        async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
            end = self._shared.gate.refusal() or await serve(requests, context.write, _caller(context))
            await self._end(end, context)
            return None if method.server_streaming else response()

        kind = (
            grpc.stream_stream_rpc_method_handler if method.server_streaming else grpc.stream_unary_rpc_method_handler
        )
        return kind(handle, **_wire(method))

    def _call(self, method: MethodDescriptor, answer: Answer) -> grpc.RpcMethodHandler[Any, Any]:
        async def handle(request: Any, context: Any) -> Any:
            answered = self._shared.gate.refusal() or answer(request, _caller(context))
            if isinstance(answered, End):
                await self._end(answered, context)
            return answered

        return grpc.unary_unary_rpc_method_handler(handle, **_wire(method))

    async def _end(self, end: End, context: Any) -> None:
        if end.reason:
            self._shared.metrics.rejected_streams.labels(end.reason).inc()
        if end.code is not grpc.StatusCode.OK:
            await context.abort(end.code, end.detail)


def _caller(context: Any) -> Caller:
    return Caller(peer_of(context), context.peer())


def _wire(method: MethodDescriptor) -> dict[str, Any]:
    return {
        "request_deserializer": GetMessageClass(method.input_type).FromString,
        "response_serializer": _serialised,
    }


def _serialised(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
