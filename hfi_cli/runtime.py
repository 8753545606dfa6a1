"""The composition root: the only place where store, feed, expiry, HTTP and xDS meet.

Laws:

1. Up in the order in which each needs the one before: store, feed, expiry, servers. Down in the opposite order, and
   both servers at once, so that nothing is served by what has gone already.
2. A control plane whose feed or expiry has died does not live on as half of one: :meth:`ControlPlane.serve` raises,
   and who runs the process ends it.
3. Whatever fails while starting, what was started is stopped again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import TracebackType
from typing import Any, NoReturn, Self

from prometheus_client import CollectorRegistry

from hfi_cli.choices import StoreKind
from hfi_cli.module_life import ModuleLife
from hfi_cli.replica_life import ReplicaLife
from hfi_cli.settings import ServeSettings, StoreSettings
from hfi_cli.sidecar_life import SidecarLife
from hfi_core.address import Address
from hfi_core.dataplane import DataPlane
from hfi_core.errors import HfiError
from hfi_core.expiry import ExpirationRegistry
from hfi_core.feed import Feed
from hfi_core.metrics import HfiCollector
from hfi_core.modules.catalogue import FILTER, load_module
from hfi_core.policies import PolicyService
from hfi_core.policy.engine import RuleEngine
from hfi_core.proxies import ProxyRegistry
from hfi_core.store.protocol import Store
from hfi_core.tls import Certificates
from hfi_core.tls.collector import TlsCollector
from hfi_sse.app import create_app
from hfi_sse.server import HttpServer
from hfi_sse.services import HttpSettings, Services
from hfi_xds.credentials import server_credentials
from hfi_xds.metrics import XdsMetrics
from hfi_xds.server import XdsServer
from hfi_xds.settings import XdsSettings

log = logging.getLogger(__name__)

#: How long the first reading of the store may hold up the servers; past it they start, and say in their health that
#: they are not ready.
FIRST_SNAPSHOT_SECONDS = 5.0


class BackgroundFailed(HfiError):
    """A task that must run for as long as the process has ended. A mistake of ours, not of the store's."""


def make_store(settings: StoreSettings) -> Store:
    """The store that the settings name, not started yet."""
    match settings.kind:
        case StoreKind.memory:
            from hfi_core.store.memory import MemoryStore

            return MemoryStore()
        case StoreKind.embedded:
            from hfi_core.store.embedded import EmbeddedSettings, EmbeddedStore

            return EmbeddedStore(EmbeddedSettings(settings.data_dir))
        case StoreKind.etcd:
            from hfi_core.store.etcd import EtcdStore

            assert settings.etcd is not None, "StoreSettings.of has seen to it"
            return EtcdStore(settings.etcd)


class ControlPlane:
    """A whole control plane, as an async context manager: inside it, it serves.

    Raises :class:`~hfi_core.errors.SettingsInvalid`, :class:`~hfi_core.errors.StoreError` and
    :class:`~hfi_core.errors.ModuleUnavailable` on entering. ``http`` and ``xds`` are the addresses as bound.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._background: dict[asyncio.Task[None], str] = {}
        self.http = settings.http
        self.xds = settings.xds

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def serve(self) -> NoReturn:
        """For ever, until it is cancelled. Raises :class:`BackgroundFailed` when a part of it has died."""
        done, _ = await asyncio.wait(self._background, return_when=asyncio.FIRST_COMPLETED)
        task = done.pop()
        cause = None if task.cancelled() else task.exception()
        raise BackgroundFailed(f"the {self._background[task]} has ended, and without it nothing is right") from cause

    # -------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        settings = self._settings
        certificates = Certificates(settings.tls.files) if settings.tls else None
        if certificates is not None and not certificates.mutual:
            log.warning("without --client-ca, whoever reaches %s and %s may connect", settings.http, settings.xds)
        shipped = load_module(FILTER)
        engine = RuleEngine()
        await asyncio.to_thread(engine.warm_up)

        store = make_store(settings.store)
        self._stack.push_async_callback(store.close)
        await store.start()
        data_plane, proxies = DataPlane(), ProxyRegistry()
        sidecars = SidecarLife(store)
        feed = Feed(store)
        replicas = ReplicaLife(store, proxies, feed)
        life = ModuleLife(store, settings.filter, proxies, data_plane, replicas.rejections, replicas.membership)
        for room in (*life.rooms, sidecars.room, *replicas.rooms):
            self._stack.push_async_callback(room.close)
            await room.start()

        self._stack.push_async_callback(self._end_background)
        self._run("feed", feed.run())
        self._run("expiry of policies", ExpirationRegistry(store, feed).run())
        for name, work in (*life.work(shipped), *sidecars.work(), *replicas.work()):
            self._run(name, work)
        del shipped
        await self._first_snapshot(feed, life, replicas)
        if certificates is not None:
            self._run("watch of the TLS files", certificates.follow())

        registry = CollectorRegistry()
        registry.register(HfiCollector(data_plane, proxies, feed))
        registry.register(life.collector)
        if certificates is not None:
            registry.register(TlsCollector(certificates))
        limits = settings.limits
        nodes = settings.tls.nodes if settings.tls else None
        stopping = asyncio.Event()
        services = Services(
            policies=PolicyService(store, feed, engine.check),
            sidecars=sidecars.service,
            feed=feed,
            proxies=proxies,
            data_plane=data_plane,
            engine=engine,
            modules=life.modules,
            filters=life.filters,
            rollouts=life.rollouts,
            filter_version=life.serving.version,
            filter_trouble=lambda: life.serving.trouble,
            registry=registry,
            version=version("hfi"),
            stopping=stopping,
            nodes=nodes,
            fleet=replicas.membership,
            settings=HttpSettings(max_readers=limits.streams, max_readers_per_node=limits.node_streams),
        )
        http = HttpServer(
            create_app(services),
            settings.http.host,
            settings.http.port,
            stopping=stopping,
            certificates=certificates,
            write_timeout_seconds=limits.write_timeout,
            registry=registry,
        )
        xds = XdsServer(
            str(settings.xds),
            life.resources,
            proxies,
            data_plane,
            XdsMetrics(registry),
            XdsSettings(
                max_streams=limits.streams,
                max_streams_per_node=limits.node_streams,
                max_message_bytes=limits.message_bytes,
                write_timeout_seconds=limits.write_timeout,
                resource_ttl_seconds=settings.resource_ttl_seconds,
            ),
            credentials=server_credentials(certificates) if certificates else None,
            nodes=nodes,
            sidecars=sidecars.source,
            rejections=replicas.rejections,
            fleet=lambda: (known.status for known in replicas.membership.known()),
        )

        async def stop_servers() -> None:
            await asyncio.gather(http.stop(), xds.stop())

        self._stack.push_async_callback(stop_servers)
        self.http = settings.http.with_port(await http.start())
        self.xds = settings.xds.with_port(await xds.start())

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._background[asyncio.create_task(work, name=name)] = name

    async def _end_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _first_snapshot(self, feed: Feed, life: ModuleLife, replicas: ReplicaLife) -> None:
        """Wait for the rules, for the module and for what nodes have rejected, but not for ever."""
        try:
            async with asyncio.timeout(FIRST_SNAPSHOT_SECONDS):
                await feed.reached(0)
                await life.resources.ready()
                await replicas.ready()
        except TimeoutError:
            trouble = feed.trouble or life.serving.trouble or "what nodes have rejected is not known"
            log.warning("not everything has been read yet (%s); serving all the same", trouble)


def listening_line(plane: ControlPlane, store: StoreKind) -> str:
    """What is printed when it serves: ``listening http=HOST:PORT xds=HOST:PORT store=KIND``. Scripts read it."""
    return f"listening http={plane.http} xds={plane.xds} store={store}"


def url(address: Address) -> str:
    """The HTTP URL of an address that is listened on; a wildcard is reached by loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"http://{Address(host, address.port)}"
