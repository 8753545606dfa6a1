from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from hfi_core import newest
from hfi_core.errors import PolicyConflict
from hfi_core.policies import PolicyService
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from hfi_sse.conditions import Condition, apply_under, condition, delete_under, etag, unmodified
from hfi_sse.errors import ParameterInvalid, PreconditionFailed
from tests.support.policies import policy
from tests.unit.sse.plane import Plane


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, Condition()),
        ({"if-match": "*"}, Condition(exists=True)),
        ({"if-match": '"7"'}, Condition(frozenset({7}))),
        ({"if-match": "7"}, Condition(frozenset({7}))),
        ({"if-match": ' "7" , "8"'}, Condition(frozenset({7, 8}))),
        ({"if-match": 'W/"6", "7"'}, Condition(frozenset({7}))),
        ({"if-match": '"not ours", "7"'}, Condition(frozenset({7}))),
        ({"if-none-match": "*"}, Condition(frozenset({0}))),
    ],
)
def test_what_headers_ask(headers: dict[str, str], wanted: Condition) -> None:
    assert condition(Headers(headers)) == wanted


@pytest.mark.parametrize(
    "headers",
    [{"if-match": "abc"}, {"if-match": '"7'}, {"if-none-match": '"7"'}, {"if-match": "*", "if-none-match": "*"}],
)
def test_headers_that_make_no_sense(headers: dict[str, str]) -> None:
    with pytest.raises(ParameterInvalid):
        condition(Headers(headers))


@pytest.mark.parametrize("text", ['W/"7"', '"other"', ""])
def test_tags_that_nothing_can_have_fail(text: str) -> None:
    with pytest.raises(PreconditionFailed):
        condition(Headers({"if-match": text}))


@pytest.mark.parametrize(
    ("wanted", "holding"),
    [
        (Condition(), {0, 1, 7}),
        (Condition(exists=True), {1, 7}),
        (Condition(frozenset({7})), {7}),
        (Condition(frozenset({0})), {0}),
    ],
)
def test_which_versions_hold(wanted: Condition, holding: set[int]) -> None:
    assert {version for version in (0, 1, 7) if wanted.holds(version)} == holding


@pytest.mark.parametrize(
    ("text", "same"), [('"7"', True), ('"6", "7"', True), ("*", True), ('"6"', False), (None, False)]
)
def test_whether_a_read_is_needed(text: str | None, same: bool) -> None:
    assert unmodified(Headers({} if text is None else {"if-none-match": text}), 7) is same
    assert etag(7) == '"7"'


class Raced(MemoryStore):
    """Somebody else writes just before each of the first writes."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races

    async def put(self, key: str, value: bytes, **how: Any) -> Entry:
        if self.races:
            self.races -= 1
            await super().put(key, value)
        return await super().put(key, value, **how)

    async def delete(self, key: str, **how: Any) -> int:
        if self.races:
            self.races -= 1
            await super().put(key, (await self.get(key) or Entry("", b"", 0)).value)
        return await super().delete(key, **how)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write does not wait long to be seen by a feed of another store."""
    monkeypatch.setattr(newest, "READ_YOUR_WRITE_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_any_version_is_any_even_when_it_changes_meanwhile(plane: Plane) -> None:
    store = Raced(0)
    service = PolicyService(store, plane.feed, lambda document: [])
    first = await apply_under(service, Condition(), policy("p"), dry_run=False)
    store.races = 3
    raced = await apply_under(service, Condition(exists=True), policy("p"), dry_run=False)
    assert (first.stored.version, raced.stored.version) == (1, 5)
    store.races = 1
    assert await delete_under(service, Condition(exists=True), "p", dry_run=False) == 7


async def test_of_several_versions_the_one_that_is_there_counts(plane: Plane) -> None:
    version = await plane.apply("p")
    service = plane.services.policies
    two = Condition(frozenset({version, version + 1}))
    applied = await apply_under(service, two, policy("p"), dry_run=False)
    assert applied.stored.version == version + 1
    with pytest.raises(PolicyConflict):
        await delete_under(service, Condition(frozenset({version})), "p", dry_run=False)
    assert await delete_under(service, two, "p", dry_run=False) == version + 2


@pytest.mark.usefixtures("impatient")
async def test_a_delete_is_tried_with_what_the_store_has_when_our_snapshot_is_behind(plane: Plane) -> None:
    store = Raced(0)
    service = PolicyService(store, plane.feed, lambda document: [])
    await apply_under(service, Condition(), policy("p"), dry_run=False)
    store.races = 1
    assert await delete_under(service, Condition(frozenset({1, 2})), "p", dry_run=False) == 3
