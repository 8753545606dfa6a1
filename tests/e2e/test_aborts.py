"""Each way to end a request in the upstream's place, by HTTP/1.1 and by HTTP/2."""

from __future__ import annotations

import time

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_delayed, assert_passed, delay, rule
from tests.support.reply import body_of
from tests.support.traffic import CutOff, Wire

#: What google.rpc.Code says that each gRPC status is in HTTP.
AS_HTTP = {
    0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501,
    13: 500, 14: 503, 15: 500, 16: 401,
}  # fmt: skip
GRPC = ("content-type", "application/grpc")


async def test_an_answer_has_the_status_the_body_and_the_headers_of_the_policy(ring: Ring, wire: Wire) -> None:
    await ring.inject(abort=abort(418, body="short and stout\n", headers={"Retry-After": "3", "x-reason": "a test"}))
    answer = await ring.ask(wire=wire)
    assert_aborted(answer, 418)
    assert answer.body == b"short and stout\n"
    assert (answer.header("retry-after"), answer.header("x-reason")) == ("3", "a test")
    assert answer.header("x-hfi-fault") == f"{ring.name}/r"
    assert ring.reached == []


@pytest.mark.parametrize("status", [200, 204, 304, 429, 599])
async def test_statuses_with_and_without_a_body_of_their_own(ring: Ring, wire: Wire, status: int) -> None:
    await ring.inject(abort=abort(status))
    answer = await ring.ask(wire=wire)
    assert_aborted(answer, status)
    assert answer.body == b""


async def test_the_head_of_an_answer_is_all_that_head_gets(ring: Ring, wire: Wire) -> None:
    await ring.inject(abort=abort(503, body="not for HEAD"))
    async with ring.connections(1, wire=wire) as [connection]:
        answer = await connection.request(ring.path, "HEAD")
        assert_aborted(answer)
        assert answer.body == b""
        assert (await connection.request(ring.path)).body == b"not for HEAD"


async def test_a_body_of_the_greatest_length_arrives_whole(ring: Ring, wire: Wire) -> None:
    body = "0123456789abcdef" * 4096
    await ring.inject(abort=abort(500, body=body))
    assert (await ring.ask(wire=wire)).body == body.encode()


async def test_a_grpc_status_is_an_http_status_to_those_who_do_not_speak_grpc(ring: Ring, wire: Wire) -> None:
    await ring.apply(
        ring.policy(
            *(
                rule(f"r{code}", f"{ring.path}/{code}", abort={"grpcStatus": code, "grpcMessage": f"code {code}"})
                for code in AS_HTTP
            ),
            rule("bare", f"{ring.path}/bare", abort={"grpcStatus": 14}),
        )
    )
    async with ring.connections(1, wire=wire) as [connection]:
        for code, status in AS_HTTP.items():
            answer = await connection.request(f"{ring.path}/{code}")
            assert_aborted(answer, status)
            assert answer.body == f"code {code}".encode()
            assert answer.header("grpc-status") is None
        bare = await connection.request(f"{ring.path}/bare")
    assert_aborted(bare, 503)
    assert bare.body == b""
    assert ring.reached == []


async def test_a_grpc_status_is_all_in_the_head_of_the_answer_to_a_grpc_request(ring: Ring, wire: Wire) -> None:
    """Trailers only, as gRPC calls it: to be read by whoever looks at the stream, not only by gRPC's own client."""
    fault = {"grpcStatus": 8, "grpcMessage": "come back 50% later", "headers": {"x-reason": "a test"}}
    await ring.inject(abort=fault)
    answer = await ring.ask(method="POST", headers=[GRPC], body=b"\0\0\0\0\0", wire=wire)
    assert (answer.status, answer.body, answer.header("grpc-status")) == (200, b"", "8")
    assert answer.header("grpc-message") == "come back 50%25 later", "percent-encoded, as gRPC has it"
    assert (answer.header("content-type"), answer.header("x-reason")) == ("application/grpc", "a test")
    assert answer.header("x-hfi-fault") == f"{ring.name}/r"


@pytest.mark.parametrize(
    ("kind", "is_grpc"),
    [("application/grpc", True), ("application/grpc+proto", True), ("application/grpc+json;charset=utf-8", True),
     ("application/grpc;charset=utf-8", False), ("application/grpc-web", False), ("Application/gRPC", False)],
)  # fmt: skip
async def test_what_is_grpc_to_envoy_is_grpc_to_matchers_and_aborts(
    ring: Ring, wire: Wire, kind: str, is_grpc: bool
) -> None:
    await ring.apply(
        ring.policy(
            rule("http", f"{ring.path}/Http", abort=abort(503)),
            rule("grpc", f"{ring.path}/Grpc", abort={"grpcStatus": 14}),
            rule("matched", match={"path": {"exact": f"{ring.path}/Matched"}, "grpc": {}}, abort=abort(503)),
        )
    )
    as_grpc = (200, "14")
    found = {
        name: (answer.status, answer.header("grpc-status"))
        for name in ("Http", "Grpc", "Matched")
        for answer in [await ring.ask(f"/{name}", "POST", [("content-type", kind)], b"\0\0\0\0\0", wire=wire)]
    }
    assert found["Http"] == (as_grpc if is_grpc else (503, None)), "Envoy alone decides on this one"
    assert found["Grpc"] == found["Http"]
    assert found["Matched"] == (as_grpc if is_grpc else (200, None))


async def test_a_reset_answers_nothing_at_all(ring: Ring, wire: Wire) -> None:
    await ring.inject(abort={"reset": True})
    async with ring.connections(1, wire=wire) as [connection]:
        with pytest.raises(CutOff) as cut:
            await connection.request(ring.path)
    assert (cut.value.status, cut.value.body) == (None, b"")
    assert ring.reached == []
    await ring.counted({"matched~r~any": 1, "injected~r~reset": 1})


async def test_a_reset_of_one_stream_leaves_its_neighbours_alone(ring: Ring, http2: Wire) -> None:
    await ring.apply(
        ring.policy(
            rule("held", f"{ring.path}/held", delay=delay("500ms")),
            rule("gone", f"{ring.path}/gone", abort={"reset": True}),
        )
    )
    async with ring.connections(1, wire=http2) as [connection]:
        await connection.send(f"{ring.path}/held")
        await connection.send(f"{ring.path}/gone")
        await connection.send(f"{ring.path}/free")
        assert_delayed(await connection.read(), 0.5)
        with pytest.raises(CutOff) as cut:
            await connection.read()
        assert cut.value.code is not None, "the stream was reset, and not the connection closed"
        assert_passed(await connection.read())


async def test_a_reset_comes_after_its_delay(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay=delay("300ms"), abort={"reset": True})
    async with ring.connections(1, wire=wire) as [connection]:
        started = time.perf_counter()
        with pytest.raises(CutOff):
            await connection.request(ring.path)
        assert time.perf_counter() - started >= 0.3
    await ring.counted({"matched~r~any": 1, "injected~r~delay_reset": 1})


@pytest.mark.parametrize(
    "end", [abort(503), {"grpcStatus": 14}, {"reset": True}], ids=["httpStatus", "grpcStatus", "reset"]
)
async def test_an_upload_is_ended_in_its_middle(ring: Ring, wire: Wire, end: dict[str, object]) -> None:
    await ring.inject(abort=end)
    async with ring.connections(1, wire=wire) as [connection]:
        await connection.send(ring.path, "POST", body=body_of(100_000))
        if "reset" in end:
            with pytest.raises(CutOff) as cut:
                await connection.read()
            assert cut.value.status is None
        else:
            assert_aborted(await connection.read())
    assert ring.reached == []
    assert_passed(await ring.ask("/other", wire=wire))


async def test_a_shadowed_abort_is_only_counted(ring: Ring, wire: Wire) -> None:
    await ring.apply(
        ring.policy(
            rule("reset", ring.path, abort={"reset": True}),
            rule("status", ring.path, abort={"grpcStatus": 1}),
            mode="shadow",
        )
    )
    assert_passed(await ring.ask(wire=wire))
    await ring.counted(
        {"matched~reset~any": 1, "shadowed~reset~reset": 1, "matched~status~any": 1, "shadowed~status~abort": 1}
    )
