"""What a rule can do to a response on its way, by HTTP/1.1 and by HTTP/2; and to a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.ring import Ring, assert_passed, delay, rule
from tests.support.reply import body_of, wanted
from tests.support.traffic import Answer, CutOff, Wire

MEGABYTES = 5_000_000
LARGE = "new " * 16_000
OF_THE_OLD_BODY = {
    "accept-ranges": "bytes",
    "content-digest": "sha-256=:AAAA:",
    "content-encoding": "identity",
    "content-md5": "AAAA",
    "content-range": "bytes 0-99/1000",
    "digest": "sha-256=AAAA",
    "etag": '"old"',
    "last-modified": "Mon, 30 Nov 2026 00:00:00 GMT",
    "repr-digest": "sha-256=:AAAA:",
}


def assert_changed(ring: Ring, answer: Answer, status: int = 200) -> None:
    """The upstream has answered, and the filter has changed its answer, and says so."""
    assert (answer.status, answer.header("x-upstream")) == (status, "tests"), answer
    assert answer.header("x-hfi-fault") == f"{ring.name}/r"


@pytest.mark.parametrize("status", [200, 418, 503])
async def test_the_status_is_another(ring: Ring, wire: Wire, status: int) -> None:
    await ring.inject(response={"status": status})
    answer = await ring.ask(headers=[wanted(status=404, length=1000)], wire=wire)
    assert_changed(ring, answer, status)
    assert answer.body == body_of(1000)
    await ring.counted({"matched~r~any": 1, "injected~r~response": 1})


async def test_headers_are_removed_set_and_added(ring: Ring, wire: Wire) -> None:
    edits = {
        "set": {"Content-Type": "text/plain", "x-new": "1"},
        "add": {"X-Many": "2", "x-added": "1"},
        "remove": ["X-Gone", "x-never-there"],
    }
    await ring.inject(response={"headers": edits})
    asked = wanted(length=10, headers={"x-many": "1", "x-gone": "1", "x-kept": "1"})
    answer = await ring.ask(headers=[asked], wire=wire)
    assert_changed(ring, answer)
    assert [answer.header(name) for name in ("content-type", "x-new", "x-added")] == ["text/plain", "1", "1"]
    assert (answer.header("x-gone"), answer.header("x-kept")) == (None, "1")
    many = [value for name, value in answer.headers if name == "x-many"]
    assert ",".join(many).replace(" ", "") == "1,2"
    assert answer.body == body_of(10)


@pytest.mark.parametrize("text", ["", "small", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize(
    "asked",
    [{"length": 100}, {"length": 100, "chunked": True}, {"length": MEGABYTES}, {"length": MEGABYTES, "chunked": True}],
    ids=["length", "chunked", "5MB", "5MB-chunked"],
)
async def test_the_body_is_another(ring: Ring, wire: Wire, asked: dict[str, Any], text: str) -> None:
    await ring.inject(response={"body": text})
    asked = {**asked, "headers": {"x-kept": "1", **OF_THE_OLD_BODY}}
    async with ring.connections(1, wire=wire) as [connection]:
        # Twice on one connection: what is left of the old body must not be taken for the next answer.
        for _ in range(2):
            answer = await connection.request(ring.path, headers=[wanted(**asked)])
            assert_changed(ring, answer)
            assert answer.body == text.encode()
            left = [name for name, _ in answer.headers if name in OF_THE_OLD_BODY]
            assert left == [], "these say something of the other body"
            assert answer.header("x-kept") == "1"
        assert_passed(await connection.request(f"{ring.path}/other"))


async def test_trailers_stay_behind_another_body(ring: Ring, http2: Wire) -> None:
    """And where they are all that comes behind the headers, nothing speaks of a body that is not there."""
    await ring.inject(response={"body": "new"})
    asked = {"trailers": {"x-trailer": "1"}}
    for length, chunked, body in ((10, False, b"new"), (10, True, b"new"), (0, False, b""), (0, True, b"")):
        answer = await ring.ask(headers=[wanted(length=length, chunked=chunked, **asked)], wire=http2)
        assert_changed(ring, answer)
        assert (answer.body, answer.header("x-trailer")) == (body, "1")
        assert answer.header("content-length") in (None, str(len(body)))


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_response_without_a_body_gets_one(ring: Ring, wire: Wire, chunked: bool) -> None:
    await ring.inject(response={"body": "new"})
    answer = await ring.ask(headers=[wanted(length=0, chunked=chunked)], wire=wire)
    assert_changed(ring, answer)
    assert answer.body == b"new"


async def test_a_response_to_head_has_no_body_even_so(ring: Ring, wire: Wire) -> None:
    await ring.inject(response={"body": "new", "status": 503})
    async with ring.connections(1, wire=wire) as [connection]:
        answer = await connection.request(ring.path, "HEAD", [wanted(length=MEGABYTES)])
        assert_changed(ring, answer, 503)
        assert answer.body == b""
        assert (await connection.request(ring.path)).body == b"new"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_that_may_have_no_body_gets_none(ring: Ring, wire: Wire, status: int) -> None:
    await ring.inject(response={"body": "new"})
    async with ring.connections(1, wire=wire) as [connection]:
        answer = await connection.request(ring.path, headers=[wanted(status=status)])
        assert_changed(ring, answer, status)
        assert answer.body == b""
        assert answer.header("content-length") in (None, "0")
        assert_passed(await connection.request(f"{ring.path}/other"))


#: After how many bytes, and of how many.
CUTS = [(0, 1), (1, 2), (1000, 1001), (0, MEGABYTES), (100_000, MEGABYTES)]


@pytest.mark.parametrize("late", [False, True], ids=["at-once", "late"])
async def test_a_body_is_cut_after_so_many_bytes(ring: Ring, wire: Wire, late: bool) -> None:
    """Also when all of it is there at once, with its end: as with a small one, and one that was held back."""
    held = {"delay": delay("50ms", phase="response")} if late else {}
    rules = (
        rule(f"r{count}", f"{ring.path}/{count}", response={"truncate": {"bytes": count}}, **held)
        for count in {count for count, _ in CUTS}
    )
    await ring.apply(ring.policy(*rules))

    async def ask(count: int, length: int, chunked: bool) -> None:
        with pytest.raises(CutOff) as cut:
            await ring.ask(f"/{count}", headers=[wanted(length=length, chunked=chunked)], wire=wire)
        assert (cut.value.status, len(cut.value.body)) == (200, count)
        assert cut.value.body == body_of(count)
        assert dict(cut.value.headers).get("x-hfi-fault") == f"{ring.name}/r{count}"

    # At the same time, for Envoy waits a second before it closes a connection of HTTP/1.1.
    await asyncio.gather(*(ask(*cut, chunked) for cut in CUTS for chunked in (False, True)))


async def test_many_bodies_that_are_cut_at_one_time_have_each_its_bytes(ring: Ring, http2: Wire) -> None:
    await ring.inject(delay=delay("500ms", phase="response"), response={"truncate": {"bytes": 1000}})
    async with ring.connections(6, wire=http2) as opened:
        for connection in opened * 50:
            await connection.send(ring.path, headers=[wanted(length=1001)])
        lengths = []
        for connection in opened * 50:
            with pytest.raises(CutOff) as cut:
                await connection.read()
            lengths.append(len(cut.value.body))
    assert lengths == [1000] * 300


async def test_a_body_shorter_than_the_cut_is_whole(ring: Ring, wire: Wire) -> None:
    await ring.inject(response={"truncate": {"bytes": 1001}})
    for length in (0, 1000):
        assert (await ring.ask(headers=[wanted(length=length)], wire=wire)).body == body_of(length)


async def test_a_body_takes_the_time_that_its_bandwidth_needs(ring: Ring, wire: Wire) -> None:
    await ring.inject(response={"bandwidth": {"kbps": 64}})
    answer = await ring.ask(headers=[wanted(length=64 << 10)], wire=wire)
    assert_changed(ring, answer)
    assert answer.body == body_of(64 << 10)
    assert answer.seconds >= 0.8  # A second, less the share that may go at once.
    [seen] = ring.reached
    assert not [name for name, _ in seen.headers if name.startswith("x-envoy-fault")]


async def test_everything_at_once(ring: Ring, wire: Wire) -> None:
    await ring.inject(
        delay=delay("200ms", phase="response"),
        request={"headers": {"set": {"x-token": "wrong"}}},
        response={"status": 500, "headers": {"set": {"x-new": "1"}}, "body": "broken"},
    )
    answer = await ring.ask(headers=[wanted(length=MEGABYTES), ("x-token", "right")], wire=wire)
    assert_changed(ring, answer, 500)
    assert (answer.body, answer.header("x-new")) == (b"broken", "1")
    assert answer.seconds >= 0.2
    assert ring.reached[0].values("x-token") == ["wrong"]
    await ring.counted({"matched~r~any": 1, "injected~r~request_delay_response": 1})


async def test_a_request_reaches_the_upstream_with_other_headers(ring: Ring, wire: Wire) -> None:
    edits = {
        "set": {"Authorization": "Bearer wrong", "x-new": "1"},
        "add": {"X-Many": "2"},
        "remove": ["X-Gone", "x-never-there"],
    }
    await ring.inject(request={"headers": edits})
    sent = [("authorization", "Bearer right"), ("x-many", "1"), ("x-gone", "1"), ("x-gone", "2"), ("x-kept", "1")]
    answer = await ring.ask(headers=sent, wire=wire)
    assert_changed(ring, answer)
    [seen] = ring.reached
    assert [seen.values(name) for name in ("authorization", "x-new", "x-gone", "x-kept")] == [
        ["Bearer wrong"], ["1"], [], ["1"],
    ]  # fmt: skip
    assert ",".join(seen.values("x-many")).replace(" ", "") == "1,2"
    await ring.counted({"matched~r~any": 1, "injected~r~request": 1})


async def test_a_request_that_was_held_is_changed_too(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay=delay("200ms"), request={"headers": {"remove": ["x-gone"]}})
    answer = await ring.ask(method="POST", headers=[("x-gone", "1")], body=body_of(100_000), wire=wire)
    assert_changed(ring, answer)
    assert answer.seconds >= 0.2
    [seen] = ring.reached
    assert (seen.values("x-gone"), seen.length) == ([], 100_000)


@pytest.mark.parametrize(
    ("status", "asked", "changed"),
    [({"exact": 404}, 404, True), ({"exact": 404}, 405, False), ({"min": 500}, 503, True), ({"min": 500}, 499, False),
     ({"min": 400, "max": 499}, 499, True), ({"min": 400, "max": 499}, 500, False), ({"max": 299}, 204, True)],
    ids=str,
)  # fmt: skip
async def test_a_rule_looks_at_the_status_of_the_response(
    ring: Ring, wire: Wire, status: dict[str, int], asked: int, changed: bool
) -> None:
    match = {"path": {"exact": ring.path}, "response": {"status": status}}
    await ring.apply(ring.policy(rule(match=match, response={"status": 599, "headers": {"set": {"x-new": "1"}}})))
    answer = await ring.ask(headers=[wanted(status=asked)], wire=wire)
    assert (answer.status, answer.header("x-new")) == ((599, "1") if changed else (asked, None))
    assert answer.header("x-hfi-fault") == (f"{ring.name}/r" if changed else None)
    await ring.counted({"matched~r~any": 1, "injected~r~response": 1} if changed else {})


async def test_a_rule_that_looks_at_the_response_holds_cuts_and_replaces(ring: Ring, wire: Wire) -> None:
    def when(path: str, **fault: Any) -> Any:
        match = {"path": {"exact": ring.path + path}, "response": {"status": {"exact": 200}}}
        return rule(path.strip("/"), match=match, **fault)

    late = {"start_delay_ms": 100, "delay": delay("100ms", phase="response")}
    await ring.apply(
        ring.policy(
            when("/held", **late),
            when("/body", response={"body": "new"}, **late),
            when("/cut", response={"truncate": {"bytes": 1000}}),
        )
    )
    asked = [wanted(length=MEGABYTES)]
    answer = await ring.ask("/held", headers=asked, wire=wire)
    assert answer.body == body_of(MEGABYTES)
    assert answer.seconds >= 0.2
    answer = await ring.ask("/body", headers=asked, wire=wire)
    assert answer.body == b"new"
    assert answer.seconds >= 0.2
    with pytest.raises(CutOff) as cut:
        await ring.ask("/cut", headers=asked, wire=wire)
    assert cut.value.body == body_of(1000)


async def test_a_rule_that_decided_on_the_request_comes_before_one_for_the_response(ring: Ring, wire: Wire) -> None:
    for_any = {"path": {"prefix": ring.path}, "response": {"status": {"min": 100}}}
    await ring.apply(
        ring.policy(
            rule("response", match=for_any, response={"status": 599}),
            rule("request", f"{ring.path}/request", response={"status": 598}),
        )
    )
    assert (await ring.ask("/request", wire=wire)).status == 598
    assert (await ring.ask("/response", wire=wire)).status == 599
