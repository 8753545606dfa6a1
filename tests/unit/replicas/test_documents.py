from __future__ import annotations

import json
from dataclasses import replace

from hfi_core.proxies import ProxyStatus, ResourceStatus
from hfi_core.replicas.documents import (
    Position,
    Replica,
    proxy_document,
    proxy_key,
    read,
    replica_document,
)
from hfi_core.replicas.merging import merge
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.protocol import Entry

HERE = Position(7, "e")
STATUS = ProxyStatus(
    NodeIdentity.of("ns/pod-1", "shop", {"track": "canary"}),
    first_seen_ms=10,
    last_seen_ms=20,
    xds_streams=1,
    user_agent="envoy",
    resources=(ResourceStatus("type", "hfi", "abc", "nacked", "no", 15),),
    rules_version=7,
    rules_epoch="e",
    rules_seen_ms=18,
    polling=True,
)


def entries(*documents: tuple[str, bytes]) -> list[Entry]:
    return [Entry(key, value, 1) for key, value in documents]


def own(name: str, position: Position | None = HERE) -> tuple[str, bytes]:
    return name, replica_document(Replica(name, 5, "1.2.3", position, 3))


def held(replica: str, status: ProxyStatus, position: Position = HERE) -> tuple[str, bytes]:
    return proxy_key(replica, status.node.id), proxy_document(status, position)


def test_what_was_written_is_read() -> None:
    fleet = read(entries(own("r1"), held("r1", STATUS)), 99)
    assert fleet.replicas == (Replica("r1", 5, "1.2.3", HERE, 3),)
    [found] = fleet.held
    assert found.replica == "r1"
    assert found.status == replace(STATUS, last_seen_ms=99, rules_seen_ms=99)


def test_time_that_passes_is_no_news() -> None:
    later = replace(STATUS, last_seen_ms=1000, rules_seen_ms=1000)
    assert proxy_document(later, HERE) == proxy_document(STATUS, HERE)


def test_rules_that_everybody_has_are_told_once_for_all() -> None:
    newer = Position(8, "e")
    assert proxy_document(replace(STATUS, rules_version=8), newer) == proxy_document(STATUS, HERE)
    [found] = read(entries(own("r1", newer), held("r1", STATUS)), 99).held
    assert found.status.rules_version == 8
    [behind] = read(entries(own("r1", newer), held("r1", STATUS, newer)), 99).held
    assert (behind.status.rules_version, behind.status.rules_epoch) == (7, "e")
    [unknown] = read(entries(own("r1"), held("r1", replace(STATUS, rules_version=None, rules_epoch=""))), 99).held
    assert (unknown.status.rules_version, unknown.status.rules_seen_ms) == (None, None)


def test_what_cannot_be_read_is_left_out_alone() -> None:
    strange = [
        ("r2", b"\xff"),
        ("r2", b"[]"),
        ("r2", b"{}"),
        ("r2", json.dumps({"layout": 2}).encode()),
        ("r2", json.dumps({"layout": 1, "id": "r2"}).encode()),
        ("r1/other", b"null"),
        ("r1/other", json.dumps({"layout": 1, "node": 5}).encode()),
    ]
    for document in strange:
        fleet = read(entries(own("r1"), document, held("r1", STATUS)), 99)
        assert [replica.id for replica in fleet.replicas] == ["r1"], document
        assert [found.status.node.id for found in fleet.held] == ["ns/pod-1"], document


def test_what_a_replica_said_counts_for_as_long_as_it_is_there() -> None:
    assert read(entries(held("r1", STATUS)), 99).held == ()


def test_each_half_is_told_by_who_holds_it() -> None:
    here = replace(STATUS, polling=False, rules_version=3, rules_seen_ms=50, first_seen_ms=4)
    there = replace(STATUS, xds_streams=0, resources=(), rules_version=9, rules_seen_ms=40, last_seen_ms=60)
    others = read(entries(own("r2"), held("r2", there)), 40).held
    [known] = merge("r1", [here], others)
    assert (known.xds_replica, known.rules_replica) == ("r1", "r2")
    assert known.status.resources == STATUS.resources
    assert (known.status.rules_version, known.status.polling, known.status.first_seen_ms) == (9, True, 4)


def test_of_who_holds_a_proxy_a_replica_that_has_just_died_does_not_count() -> None:
    """Its word stays for as long as its lease, and vouches for what it said."""
    gone = [replace(resource, state="sent") for resource in STATUS.resources]
    dead = replace(STATUS, resources=tuple(gone), rules_version=3)
    told = [Entry(key, value, revision) for (key, value), revision in ((own("r1"), 9), (held("r1", dead), 4))]
    others = read(told, 1_000).held
    # Where it is connected now, and at a third one that hears of both.
    [here] = merge("r2", [STATUS], others)
    newer = read([*told, *(Entry(key, value, 5) for key, value in (own("r2"), held("r2", STATUS)))], 1_000).held
    [elsewhere] = merge("r3", [], newer)
    for known in (here, elsewhere):
        assert (known.xds_replica, known.rules_replica) == ("r2", "r2")
        assert (known.status.resources, known.status.rules_version) == (STATUS.resources, 7)


def test_a_poll_that_has_moved_on_counts_until_the_other_is_as_far() -> None:
    """A replica takes a proxy for one that polls for some seconds after its last poll."""
    there = replace(STATUS, xds_streams=0, rules_version=8)
    for version, replica in ((7, "r1"), (8, "r2")):
        others = read(entries(own("r2"), held("r2", replace(there, rules_version=version))), 1_000).held
        [known] = merge("r1", [STATUS], others)
        assert (known.xds_replica, known.rules_replica, known.status.rules_version) == ("r1", replica, version)


def test_nobody_holds_a_proxy_that_is_gone() -> None:
    [known] = merge("r1", [replace(STATUS, xds_streams=0, polling=False)], ())
    assert (known.xds_replica, known.rules_replica, known.status.connected) == (None, None, False)


def test_what_a_replica_says_of_itself_it_knows_better() -> None:
    [stale] = read(entries(own("r1"), held("r1", STATUS)), 99).held
    assert merge("r1", [], [stale]) == ()
