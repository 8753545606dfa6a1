"""The gRPC server: discovery, the metrics sink, reflection and health on one address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hfi_core.dataplane import DataPlane
from hfi_core.errors import SettingsInvalid
from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.tls import NodeNames
from hfi_xds.admission import Admission
from hfi_xds.gate import Gate
from hfi_xds.hangup import hang_up
from hfi_xds.metrics import XdsMetrics
from hfi_xds.metrics_sink import MetricsSink
from hfi_xds.patience import Patience
from hfi_xds.rejections import Rejections
from hfi_xds.reporting import Reporter
from hfi_xds.services import SERVED, Services
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from hfi_xds.stream import Shared
from hfi_xds.throttle import Throttle

log = logging.getLogger(__name__)

#: How long the end of the last streams may take after they were asked to end; they need one turn of the loop each.
END_SECONDS = 2.0


class XdsServer:
    """Serves ``resources`` on ``address`` (``host:port``; port 0 lets the system choose).

    ``sidecars`` are for those who are to have all of their configuration from here. ``credentials`` make it TLS;
    without them it is plaintext. ``nodes`` says whose certificate may be which node, where clients have certificates.
    ``rejections`` outlive the server where they are given. What proxies say goes to ``proxies`` and ``data_plane``;
    ``fleet`` answers what is known of those of all replicas, and without it ``proxies`` are all that there are.
    Belongs to the event loop that :meth:`start` runs in, and is started once.
    """

    def __init__(
        self,
        address: str,
        resources: ResourceSource,
        proxies: ProxyRegistry,
        data_plane: DataPlane,
        metrics: XdsMetrics,
        settings: XdsSettings | None = None,
        credentials: grpc.ServerCredentials | None = None,
        sidecars: SidecarSource | None = None,
        nodes: NodeNames | None = None,
        rejections: Rejections | None = None,
        fleet: Callable[[], Iterable[ProxyStatus]] | None = None,
    ) -> None:
        self._address = address
        self._settings = settings or XdsSettings()
        self._credentials = credentials
        self._source = resources
        self._gate = Gate(self._settings.max_streams)
        # Without one, nothing is known of sidecars, and these types are not served.
        self._sidecars = sidecars or SidecarSource()
        self._sidecars.count_coalesced(metrics.coalesced.inc)
        admission = Admission(self._settings.max_streams_per_node, nodes)
        shared = Shared(
            resources,
            self._sidecars,
            proxies,
            fleet or proxies.list,
            Reporter(proxies, metrics),
            metrics,
            self._settings,
            self._gate,
            admission,
            Patience(self._settings.write_timeout_seconds, admission, metrics, self._hang_up),
            Throttle(self._settings.max_concurrent_pushes),
        )
        self._services = Services(shared, MetricsSink(data_plane, metrics), rejections)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs know only threads
        self._server: aio.Server | None = None
        self._readiness: asyncio.Task[None] | None = None
        self._port = 0

    async def start(self) -> int:
        """Listen, and answer the port. Raises :class:`SettingsInvalid` when the address cannot be listened on."""
        server = aio.server(handlers=self._services.handlers(), options=grpc_options(self._settings))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [service.full_name for service in SERVED]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        try:
            if self._credentials is not None:
                port = server.add_secure_port(self._address, self._credentials)
            else:
                port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise SettingsInvalid(f"xDS cannot listen on {self._address}: is the port taken?") from error
        await server.start()
        self._server = server
        self._port = port
        self._readiness = asyncio.create_task(self._tell_health(["", *names]))
        return port

    async def _hang_up(self, peer: str) -> bool:
        return await asyncio.to_thread(hang_up, peer, self._port)

    async def _tell_health(self, names: list[str]) -> None:
        """NOT_SERVING until there is something to serve, and SERVING from then on."""
        if self._source.current is None:
            await self._set_health(names, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._source.ready()
        await self._set_health(names, health_pb2.HealthCheckResponse.SERVING)

    async def _set_health(self, names: list[str], status: int) -> None:
        for name in names:
            await self._health.set(name, status)

    async def stop(self, grace: float = END_SECONDS) -> None:
        """End every stream, then the server. Within ``grace`` seconds, and usually at once."""
        if self._server is None:
            return
        server, self._server = self._server, None
        if self._readiness is not None:
            self._readiness.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._readiness
        await self._health.enter_graceful_shutdown()
        self._gate.close()
        await server.stop(grace)
        await self._sidecars.close()


def grpc_options(settings: XdsSettings) -> list[tuple[str, int]]:
    """The channel arguments of the server."""
    options = {
        # Two servers on one port would share its connections silently.
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": settings.max_message_bytes,
        "grpc.keepalive_time_ms": _ms(settings.keepalive_seconds),
        "grpc.keepalive_timeout_ms": _ms(settings.keepalive_timeout_seconds),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_recv_ping_interval_without_data_ms": _ms(settings.min_ping_interval_seconds),
        # Pings too many are a nuisance and no reason to cut a sidecar off.
        "grpc.http2.max_ping_strikes": 0,
    }
    if settings.max_connection_age_seconds:
        options["grpc.max_connection_age_ms"] = _ms(settings.max_connection_age_seconds)
        options["grpc.max_connection_age_grace_ms"] = _ms(settings.max_connection_age_grace_seconds)
    return list(options.items())


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
