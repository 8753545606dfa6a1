from __future__ import annotations

import pytest

from hfi_core.errors import (
    EntryConflict,
    EntryError,
    EntryMissing,
    PolicyConflict,
    PolicyNotFound,
    RequestError,
    SidecarConflict,
    SidecarNotFound,
    StoreUnavailable,
    VersionConflict,
)
from hfi_core.kinds import POLICY, SIDECAR, Kind

AGAIN = "somebody changed it meanwhile; read it again and repeat the change"

TOLD: list[tuple[Kind, EntryError, type[RequestError], str]] = [
    (POLICY, EntryMissing("p"), PolicyNotFound, "there is no policy named 'p'"),
    (POLICY, EntryConflict("p", 0, 7), PolicyConflict, "policy 'p' exists already, at version 7"),
    (POLICY, EntryConflict("p", 7, 0), PolicyConflict, "policy 'p' no longer exists; version 7 was expected"),
    (POLICY, EntryConflict("p", 7, 9), PolicyConflict, f"policy 'p' is at version 9, not 7: {AGAIN}"),
    (SIDECAR, EntryMissing("p"), SidecarNotFound, "there is no sidecar document for the cluster 'p'"),
    (SIDECAR, EntryConflict("p", 0, 7), SidecarConflict, "the sidecar document of 'p' exists already, at version 7"),
    (
        *(SIDECAR, EntryConflict("p", 7, 0), SidecarConflict),
        "the sidecar document of 'p' no longer exists; version 7 was expected",
    ),
    (
        *(SIDECAR, EntryConflict("p", 7, 9), SidecarConflict),
        f"the sidecar document of 'p' is at version 9, not 7: {AGAIN}",
    ),
]


@pytest.mark.parametrize(("kind", "said", "told", "text"), TOLD)
def test_what_the_store_says_of_a_key_is_told_in_words_of_the_kind(
    kind: Kind, said: EntryError, told: type[RequestError], text: str
) -> None:
    with pytest.raises(RequestError) as raised, kind.named("p"):
        raise said
    assert type(raised.value) is told
    assert str(raised.value) == text
    assert raised.value.__cause__ is said
    if isinstance(raised.value, VersionConflict) and isinstance(said, EntryConflict):
        assert (raised.value.name, raised.value.expected, raised.value.actual) == ("p", said.wanted, said.present)


def test_the_key_is_the_stores_and_the_name_the_callers() -> None:
    with pytest.raises(PolicyNotFound, match="named 'p'"), POLICY.named("p"):
        raise EntryMissing("module/p")


def test_what_is_no_trouble_with_a_key_stays_what_it_is() -> None:
    with pytest.raises(StoreUnavailable), POLICY.named("p"):
        raise StoreUnavailable("away")


@pytest.mark.parametrize(("wanted", "present"), [(None, 0), (None, 7), (7, 7), (0, 0)])
def test_a_version_that_is_wanted_or_any(wanted: int | None, present: int) -> None:
    SIDECAR.expect("p", wanted, present)


@pytest.mark.parametrize(("wanted", "present"), [(0, 7), (7, 0), (7, 9)])
def test_another_version_than_the_one_that_is_wanted(wanted: int, present: int) -> None:
    with pytest.raises(SidecarConflict):
        SIDECAR.expect("p", wanted, present)
