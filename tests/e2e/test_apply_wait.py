"""``hfi-cli`` against the ring: what it says has happened, has happened."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, rule
from tests.e2e.stack import Stack
from tests.support.control_plane import CLI
from tests.support.traffic import statuses, volley


async def hfi_cli(stack: Stack, *words: str, given: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        *CLI, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HFI_SERVER": stack.control.url},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate(given.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_apply_with_wait_returns_when_every_proxy_feels_it(ring: Ring, stack: Stack) -> None:
    async with ring.connections(20) as opened:
        for status in (501, 502, 503):
            document = json.dumps(ring.policy(rule(path=ring.path, abort=abort(status))))
            code, out, err = await hfi_cli(stack, "policy", "apply", "-f", "-", "--wait", given=document)
            assert code == 0, out + err
            assert statuses(await volley(opened, 100, ring.path)) == {status: 100}
            for sidecar in ring.sidecars:
                assert_aborted(await ring.ask(by=sidecar), status)


async def test_what_was_applied_from_a_directory_is_listed_explained_felt_and_deleted(
    ring: Ring, stack: Stack, tmp_path: Path
) -> None:
    for number in (1, 2):
        document = ring.policy(rule(path=f"{ring.path}/{number}", abort=abort(500 + number)), name=str(number))
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    code, out, err = await hfi_cli(stack, "policy", "apply", "-f", str(tmp_path), "--wait")
    assert code == 0, out + err
    for number in (1, 2):
        assert_aborted(await ring.ask(f"/{number}"), 500 + number)

    code, out, _ = await hfi_cli(stack, "-o", "json", "policy", "list")
    assert code == 0, out
    assert {f"{ring.name}-1", f"{ring.name}-2"} <= {item["metadata"]["name"] for item in json.loads(out)}
    code, out, _ = await hfi_cli(stack, "-o", "json", "explain", "--path", f"{ring.path}/2")
    assert code == 0, out
    assert json.loads(out)["decision"] == {"policy": f"{ring.name}-2", "rule": "r"}

    code, out, err = await hfi_cli(stack, "policy", "delete", f"{ring.name}-1", f"{ring.name}-2")
    assert code == 0, out + err
    await ring.arrived()
    assert_passed(await ring.ask("/1"))


@pytest.mark.parametrize("percentage", [101, "half"])
async def test_what_the_server_refuses_changes_nothing_and_says_where(
    ring: Ring, stack: Stack, percentage: object
) -> None:
    document = ring.policy(rule(path=ring.path, abort=abort(), percentage=percentage))
    code, out, err = await hfi_cli(stack, "policy", "apply", "-f", "-", "--wait", given=json.dumps(document))
    assert code == 1, out + err
    assert "/spec/rules/0/fault/percentage" in out + err
    assert_passed(await ring.ask())
