"""The ring that most tests share, and what its programs had to say when one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.ring import Ring
from tests.e2e.stack import PROBE_PATH, Stack, StackFactory
from tests.support.http2 import Http2Connection
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.traffic import Connection, Wire
from tests.support.upstream import Upstream

PROCESSES = pytest.StashKey[Processes]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.envoy)
            item.add_marker(pytest.mark.etcd)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    processes = item.config.stash.get(PROCESSES, None)
    if processes is not None:
        if report.failed:
            report.sections += processes.news()
        if call.when == "teardown":
            processes.mark()
    return report


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("processes"))
    pytestconfig.stash[PROCESSES] = started
    yield started
    started.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as listening:
        yield listening


@pytest.fixture(scope="session")
def stack(processes: Processes, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shared one: tests leave it as they found it."""
    shared = StackFactory(processes, upstream, tmp_path_factory.mktemp("shared")).on_etcd("--probe-path", PROBE_PATH)
    try:
        yield shared.start()
    finally:
        shared.close()


@pytest.fixture(scope="session")
def breakable(processes: Processes, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that tests end parts of, and that is used again."""
    one = StackFactory(processes, upstream, tmp_path_factory.mktemp("breakable")).on_etcd()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
async def whole(breakable: Stack) -> AsyncIterator[tuple[Stack, Ring]]:
    """The one to break, whole and without a policy, whatever the test before has done to it."""
    async with breakable.start().ring() as ring:
        yield breakable, ring


@pytest.fixture
def stacks(processes: Processes, upstream: Upstream, tmp_path: Path) -> StackFactory:
    """Makes stacks for a test that needs one of its own."""
    return StackFactory(processes, upstream, tmp_path)


@pytest.fixture
async def ring(stack: Stack) -> AsyncIterator[Ring]:
    async with stack.ring() as ring:
        yield ring


@pytest.fixture(params=[Connection, Http2Connection], ids=["http1", "http2"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """How the test speaks to the proxy: every fault is tried by both."""
    chosen: Wire = request.param
    return chosen


@pytest.fixture
def http2() -> type[Http2Connection]:
    """What only HTTP/2 has."""
    return Http2Connection


@pytest.fixture(scope="session")
def wide(stack: Stack, processes: Processes) -> Iterator[Sidecar]:
    """A proxy of four workers on the shared stack, with an access log; started when a test first asks for it."""
    log = processes.directory / "wide-access.log"
    sidecar = Sidecar(
        processes, stack.control, stack.upstream.port, node="wide-1", cluster="wide", workers=4, access_log=log
    )
    try:
        yield sidecar.start()
    finally:
        sidecar.stop()


@pytest.fixture
async def wide_ring(stack: Stack, wide: Sidecar) -> AsyncIterator[Ring]:
    async with stack.ring(wide) as ring:
        yield ring
