"""The gRPC services: which method is served by what.

A table over the descriptors, instead of generated servicers: those are tied to the version of gRPC they were generated
with, and all that they hold is in the descriptors anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from hfi_xds import pb, wire
from hfi_xds.gate import End
from hfi_xds.metrics_sink import MetricsSink
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.session import delta_session, sotw_session
from hfi_xds.stream import Codec, DiscoveryStream, Shared

AGGREGATED = pb.DISCOVERY_FILE.services_by_name["AggregatedDiscoveryService"]
EXTENSIONS = pb.EXTENSION_FILE.services_by_name["ExtensionConfigDiscoveryService"]
METRICS = pb.METRICS_FILE.services_by_name["MetricsService"]
SERVED = (AGGREGATED, EXTENSIONS, METRICS)

_SOTW = Codec(wire.sotw_request, wire.sotw_response)
_DELTA = Codec(wire.delta_request, wire.delta_response)

#: Serves one stream: requests, and the way to write a response; answers how the stream ends.
Serve = Callable[[AsyncIterator[Any], Callable[[Any], Awaitable[None]]], Awaitable[End]]


class Services:
    """The handlers of all methods. One for each server."""

    def __init__(self, shared: Shared, sink: MetricsSink) -> None:
        self._shared = shared
        self._sink = sink
        # Shared by all streams: a node comes back on another one.
        self._rejections = Rejections()

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What a server is to be given."""
        return (
            self._service(
                AGGREGATED,
                {"StreamAggregatedResources": self._sotw(None), "DeltaAggregatedResources": self._delta(None)},
            ),
            # FetchExtensionConfigs is left out, and so UNIMPLEMENTED.
            self._service(
                EXTENSIONS,
                {
                    "StreamExtensionConfigs": self._sotw(EXTENSION_CONFIG),
                    "DeltaExtensionConfigs": self._delta(EXTENSION_CONFIG),
                },
            ),
            self._service(METRICS, {"StreamMetrics": lambda requests, _: self._sink.run(requests, self._shared)}),
        )

    def _sotw(self, only_type: str | None) -> Serve:
        return lambda requests, write: DiscoveryStream(
            self._shared, sotw_session(self._rejections, only_type), _SOTW
        ).run(requests, write)

    def _delta(self, only_type: str | None) -> Serve:
        return lambda requests, write: DiscoveryStream(
            self._shared, delta_session(self._rejections, only_type), _DELTA
        ).run(requests, write)

    def _service(self, service: ServiceDescriptor, methods: Mapping[str, Serve]) -> grpc.GenericRpcHandler[Any, Any]:
        handlers = {name: self._method(service.methods_by_name[name], serve) for name, serve in methods.items()}
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _method(self, method: MethodDescriptor, serve: Serve) -> grpc.RpcMethodHandler[Any, Any]:
        response = GetMessageClass(method.output_type)

        async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
            end = self._shared.gate.refusal() or await serve(requests, context.write)
            if end.reason:
                self._shared.metrics.rejected_streams.labels(end.reason).inc()
            if end.code is not grpc.StatusCode.OK:
                await context.abort(end.code, end.detail)
            return None if method.server_streaming else response()

        kind = (
            grpc.stream_stream_rpc_method_handler if method.server_streaming else grpc.stream_unary_rpc_method_handler
        )
        return kind(
            handle,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=response.SerializeToString,
        )
