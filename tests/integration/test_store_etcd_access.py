"""Being let in: TLS with client certificates, and users with passwords."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from hfi_core.errors import SettingsInvalid, StoreDenied, StoreUnavailable
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.settings import EtcdSettings
from tests.integration.store_support import DEADLINE_SECONDS, Follower, started
from tests.support.etcd import Certificates, Etcd, EtcdFactory
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.etcd


@pytest.fixture
def tls_etcd(etcd_factory: EtcdFactory, certificates: Certificates) -> Etcd:
    member = etcd_factory(tls=certificates)
    member.start()
    return member


@pytest.fixture
def let_in(tls_etcd: Etcd, certificates: Certificates) -> EtcdSettings:
    return replace(
        tls_etcd.settings,
        ca=certificates.ca,
        cert=certificates.client_cert,
        key=certificates.client_key,
        request_seconds=0.5,
    )


@pytest.fixture
def guarded(etcd_factory: EtcdFactory) -> Etcd:
    """An etcd with authentication: ``hfi``/``secret`` may use HFI's keys, ``reader``/``secret`` may read them."""
    member = etcd_factory(flags=["--bcrypt-cost=4"])
    member.start()
    member.ctl("user", "add", "root:root")
    member.ctl("user", "grant-role", "root", "root")
    for user, kind in (("hfi", "readwrite"), ("reader", "read")):
        member.ctl("role", "add", user)
        member.ctl("role", "grant-permission", "--prefix", user, kind, "/hfi/")
        member.ctl("user", "add", f"{user}:secret")
        member.ctl("user", "grant-role", user, user)
    member.ctl("auth", "enable")
    member.user = "root:root"
    return member


def as_user(etcd: Etcd, user: str, password: str = "secret") -> EtcdSettings:
    return replace(etcd.settings, user=user, password=password)


async def test_tls_with_a_client_certificate(tls_etcd: Etcd, let_in: EtcdSettings) -> None:
    assert let_in.parsed_endpoints[0].tls
    async with started(EtcdStore(replace(let_in, request_seconds=5.0))) as store:
        entry = await store.put("a", b"1")
        assert tls_etcd.ctl("get", "--print-value-only", "/hfi/policies/a") == "1\n"
        async with Follower(store, entry.version) as follower:
            tls_etcd.ctl("put", "/hfi/policies/b", "2")
            (change,) = await follower.count(1)
            assert change.key == "b"
            tls_etcd.kill()
            tls_etcd.start()
            tls_etcd.ctl("put", "/hfi/policies/c", "3")
            assert (await follower.count(2))[-1].key == "c"
    bare = replace(let_in, endpoints=(f"localhost:{tls_etcd.client_port}",), request_seconds=5.0)
    async with started(EtcdStore(bare)) as store:  # No scheme, but certificates; and the name is in the certificate.
        assert len((await store.list()).entries) == 3


async def test_a_wrong_authority_says_what_to_set(let_in: EtcdSettings, tmp_path: Path) -> None:
    stranger = trustme.CA()
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    for ca in (tmp_path / "stranger.pem", None):
        async with started(EtcdStore(replace(let_in, ca=ca))) as store:
            with pytest.raises(StoreUnavailable, match="set the right CA"):
                await store.list()


async def test_a_certificate_for_another_name_says_so(etcd_factory: EtcdFactory, certificates: Certificates) -> None:
    authority = trustme.CA()
    elsewhere = authority.issue_cert("elsewhere.example")
    authority.cert_pem.write_to_path(str(certificates.ca))
    client = authority.issue_cert("hfi")
    for leaf, cert, key in (
        (elsewhere, certificates.server_cert, certificates.server_key),
        (client, certificates.client_cert, certificates.client_key),
    ):
        leaf.private_key_pem.write_to_path(str(key))
        leaf.cert_chain_pems[0].write_to_path(str(cert))
    member = etcd_factory(tls=certificates)
    member.start(wait=False)  # etcdctl would refuse it, too.
    settings = replace(
        member.settings,
        ca=certificates.ca,
        cert=certificates.client_cert,
        key=certificates.client_key,
        request_seconds=0.5,
    )
    async with started(EtcdStore(settings)) as store:

        async def refusal() -> str | None:
            # One that has ended says why; waiting for its certificate would not.
            assert member.running, (member.directory / f"{member.name}.log").read_text()
            with pytest.raises(StoreUnavailable) as refused:
                await store.list()
            return str(refused.value) if "another name" in str(refused.value) else None

        await eventually_async(refusal, within=DEADLINE_SECONDS, what="the refusal of the name")


async def test_no_client_certificate_or_a_strangers_says_what_to_set(let_in: EtcdSettings, tmp_path: Path) -> None:
    mine = trustme.CA().issue_cert("me")
    mine.private_key_pem.write_to_path(str(tmp_path / "me.key"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "me.pem"))
    for cert, key in ((None, None), (tmp_path / "me.pem", tmp_path / "me.key")):
        async with started(EtcdStore(replace(let_in, cert=cert, key=key))) as store:
            with pytest.raises(StoreUnavailable, match="client certificate that its CA has signed"):
                await store.list()
            async with Follower(store, 1) as follower:  # A watch keeps trying.
                assert follower.batches == []


async def test_tls_to_an_etcd_that_has_none_says_so(etcd: Etcd, certificates: Certificates) -> None:
    endpoint = etcd.endpoint.replace("http://", "https://")
    settings = replace(etcd.settings, endpoints=(endpoint,), ca=certificates.ca, request_seconds=0.5)
    async with started(EtcdStore(settings)) as store:
        with pytest.raises(StoreUnavailable, match="does not speak TLS"):
            await store.list()


async def test_files_that_cannot_be_used_are_named_before_anything_is_called(
    certificates: Certificates, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    other = trustme.CA().issue_cert("x")
    other.private_key_pem.write_to_path(str(tmp_path / "other.key"))
    good = EtcdSettings(
        ("https://127.0.0.1:1",), ca=certificates.ca, cert=certificates.client_cert, key=certificates.client_key
    )
    for bad, name in (
        (replace(good, ca=tmp_path / "absent.pem"), "absent.pem"),
        (replace(good, ca=junk), "CA certificate .*junk.pem is not a PEM"),
        (replace(good, cert=junk), "junk.pem"),
        (replace(good, key=tmp_path), "client key"),
        (replace(good, key=tmp_path / "other.key"), "belong together"),
    ):
        with pytest.raises(SettingsInvalid, match=name):
            await EtcdStore(bad).start()


async def test_a_user_with_a_password_is_let_in(guarded: Etcd) -> None:
    async with started(EtcdStore(as_user(guarded, "hfi"))) as store:
        entry = await store.put("a", b"1", expires_at_ms=4_000_000_000_000)
        assert await store.epoch()
        assert guarded.ctl("get", "--print-value-only", "/hfi/policies/a") == "1\n"
        async with Follower(store, entry.version) as follower:
            await store.put("a", b"2")
            await store.delete("a")
            await follower.count(2)


async def test_a_wrong_password_no_user_and_a_lack_of_permission_are_denied(guarded: Etcd) -> None:
    for settings, why in (
        (as_user(guarded, "hfi", "wrong"), "does not know this user and password"),
        (as_user(guarded, "nobody"), "does not know this user and password"),
        (guarded.settings, "set its user and password"),
    ):
        async with started(EtcdStore(settings)) as store:
            with pytest.raises(StoreDenied, match=why):
                await store.list()
            async with Follower(store, 1) as follower:
                with pytest.raises(StoreDenied, match=why):
                    await follower.ended()
    async with started(EtcdStore(as_user(guarded, "reader"))) as store:
        assert (await store.list()).entries == ()
        with pytest.raises(StoreDenied, match="permission denied"):
            await store.put("a", b"1")
    elsewhere = replace(as_user(guarded, "hfi"), prefix="/elsewhere/", epoch_key="/hfi/epoch")
    async with started(EtcdStore(elsewhere)) as store:
        with pytest.raises(StoreDenied, match="permission denied"):
            await store.list()
        async with Follower(store, 1) as follower:
            with pytest.raises(StoreDenied):
                await follower.ended()


async def test_a_token_that_etcd_forgot_is_renewed(guarded: Etcd) -> None:
    """Simple tokens live in the members' memory: a restart forgets them all, under a watch and many requests."""
    async with started(EtcdStore(as_user(guarded, "hfi"))) as store:
        entry = await store.put("a", b"1")
        async with Follower(store, entry.version) as follower:
            await follower.heartbeat()
            guarded.kill()
            guarded.start()
            found = await asyncio.gather(*(store.get("a") for _ in range(20)))
            assert found == [entry] * 20
            later = await store.put("b", b"1")
            assert [change.entry for change in await follower.count(1)] == [later]


async def test_a_token_from_before_a_change_of_users_is_renewed(guarded: Etcd) -> None:
    """Any such change makes etcd refuse each token given before it."""
    async with started(EtcdStore(as_user(guarded, "hfi"))) as store:
        entry = await store.put("a", b"1")
        async with Follower(store, entry.version) as follower:
            await follower.heartbeat()
            for number in range(3):
                guarded.ctl("user", "add", f"another-{number}:secret")
                entry = await store.put("a", b"2", expected=entry.version)
                assert (await follower.count(number + 1))[-1].entry == entry


async def test_a_permission_that_is_taken_away_ends_the_watch(guarded: Etcd) -> None:
    async with started(EtcdStore(as_user(guarded, "hfi"))) as store:
        entry = await store.put("a", b"1")
        async with Follower(store, entry.version) as follower:
            await follower.heartbeat()
            guarded.ctl("user", "revoke-role", "hfi", "hfi")
            guarded.kill()
            guarded.start()
            with pytest.raises(StoreDenied):
                await follower.ended()
        with pytest.raises(StoreDenied):
            await store.list()


async def test_a_user_where_none_is_asked_for_does_no_harm_and_counts_once_it_is(etcd: Etcd) -> None:
    async with started(EtcdStore(as_user(etcd, "root", "root"))) as store:
        await store.put("a", b"1")
        etcd.ctl("user", "add", "root:root")
        etcd.ctl("user", "grant-role", "root", "root")
        etcd.ctl("auth", "enable")
        etcd.user = "root:root"
        assert (await store.put("a", b"2")).value == b"2"
