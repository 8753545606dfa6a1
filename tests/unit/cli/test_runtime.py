from __future__ import annotations

import asyncio

import pytest

from hfi_cli import runtime
from hfi_cli.choices import StoreKind
from hfi_cli.runtime import BackgroundFailed, ControlPlane, listening_line
from hfi_cli.settings import ServeSettings, StoreSettings
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid, StoreUnavailable
from hfi_core.feed import Feed
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Listing

#: envoy-data-plane, which builds the filter's resource, declares its validators in a way that pydantic will drop.
pytestmark = pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning")

SETTINGS = ServeSettings(
    http=Address("127.0.0.1", 0), xds=Address("127.0.0.1", 0), store=StoreSettings(kind=StoreKind.memory)
)


class Watched(MemoryStore):
    """Knows whether it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched()
    monkeypatch.setattr(runtime, "make_store", lambda settings: made)
    return made


async def test_addresses_are_as_bound_and_everything_is_stopped(store: Watched) -> None:
    before = asyncio.all_tasks()
    async with ControlPlane(SETTINGS) as plane:
        assert plane.http.port
        assert plane.xds.port
        line = listening_line(plane, StoreKind.memory)
        assert line == f"listening http={plane.http} xds={plane.xds} store=memory"
        serving = asyncio.create_task(plane.serve())
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert store.closed
    assert asyncio.all_tasks() == before


async def test_a_feed_that_dies_ends_the_control_plane(store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = asyncio.Event()
    run = Feed.run

    async def dies(self: Feed) -> None:
        following = asyncio.create_task(run(self))
        await dying.wait()
        following.cancel()
        raise ZeroDivisionError

    monkeypatch.setattr(Feed, "run", dies)
    async with ControlPlane(SETTINGS) as plane:
        dying.set()
        with pytest.raises(BackgroundFailed, match="the feed has ended") as failed:
            await plane.serve()
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert store.closed


async def test_what_was_started_is_stopped_when_the_rest_does_not_start(store: Watched) -> None:
    before = asyncio.all_tasks()
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = ServeSettings(http=SETTINGS.http, xds=Address("127.0.0.1", port), store=SETTINGS.store)
    with pytest.raises(SettingsInvalid, match="cannot listen"):
        async with ControlPlane(settings):
            pass
    assert store.closed
    taken.close()
    await taken.wait_closed()
    assert asyncio.all_tasks() == before


async def test_a_store_that_is_away_does_not_hold_it_up_for_ever(
    store: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(self: Watched) -> Listing:
        raise StoreUnavailable("etcd is away")

    monkeypatch.setattr(Watched, "list", away)
    monkeypatch.setattr(runtime, "FIRST_SNAPSHOT_SECONDS", 0.05)
    async with ControlPlane(SETTINGS) as plane:
        assert plane.http.port
    assert "not everything has been read yet (etcd is away)" in caplog.text
