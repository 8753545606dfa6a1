from __future__ import annotations

import hashlib
from itertools import permutations

import pytest

from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG, OTHER_LABEL, RULES, label
from hfi_xds.resources import Resource, ResourceSnapshot, combined_version
from tests.unit.xds.talk import of


def test_a_version_is_the_digest_of_the_content_and_nothing_else() -> None:
    resource = Resource.of(EXTENSION_CONFIG, "hfi", b"content")
    assert resource.version == hashlib.sha256(b"content").hexdigest()
    assert Resource.of(CLUSTER, "another", b"content").version == resource.version


def test_a_body_is_not_shown() -> None:
    """It may be a megabyte of code."""
    assert "content" not in repr(Resource.of(EXTENSION_CONFIG, "hfi", b"content"))


def test_equal_sets_are_equal_in_whatever_order_they_were_given() -> None:
    resources = of(a="1", b="2", c="3")
    snapshots = [ResourceSnapshot.of(*order) for order in permutations(resources)]
    assert all(snapshot == snapshots[0] for snapshot in snapshots)
    assert list(snapshots[-1].of_type(EXTENSION_CONFIG)) == ["a", "b", "c"]
    assert ResourceSnapshot.of(*of(a="1", b="2", c="4")) != snapshots[0]


def test_of_two_with_one_name_the_latter_is_there_once() -> None:
    """Envoy rejects a response that names a resource twice."""
    snapshot = ResourceSnapshot.of(*of(a="1"), *of(a="2"))
    assert [resource.body for resource in snapshot.of_type(EXTENSION_CONFIG).values()] == [b"2"]


def test_a_type_can_be_served_as_empty_or_not_at_all() -> None:
    snapshot = ResourceSnapshot.of(types=[CLUSTER])
    assert set(snapshot.types) == {CLUSTER}
    assert snapshot.of_type(CLUSTER) == snapshot.of_type(EXTENSION_CONFIG) == {}


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot = ResourceSnapshot.of(*of(a="1"))
    with pytest.raises(TypeError):
        snapshot.types[CLUSTER] = {}  # type: ignore[index]
    with pytest.raises(TypeError):
        snapshot.of_type(EXTENSION_CONFIG)["b"] = snapshot.of_type(EXTENSION_CONFIG)["a"]  # type: ignore[index]


def test_a_combined_version_is_of_names_and_contents() -> None:
    one = combined_version(of(a="1", b="2"))
    assert combined_version(of(b="2", a="1")) == one
    assert len({one, combined_version(of(a="2", b="1")), combined_version(of(a="1")), combined_version([])}) == 4


def test_a_combined_version_cannot_be_imitated_by_a_name() -> None:
    """Names are the operator's: they may hold what separates the parts."""
    [first, second] = of(a="1", b="1")
    forged = Resource(EXTENSION_CONFIG, f"a={first.version}\n1:b", second.version, b"")
    assert combined_version([first, second]) != combined_version([forged])


def test_types_are_served_in_the_order_in_which_they_point_to_each_other() -> None:
    assert [rules.label for rules in RULES.values()] == ["cds", "eds", "ecds", "lds", "rds"]


def test_clients_cannot_invent_labels() -> None:
    assert label(EXTENSION_CONFIG) == "ecds"
    assert label("type.googleapis.com/anything") == label("") == OTHER_LABEL


def test_what_is_said_of_each_type() -> None:
    assert {rules.label for rules in RULES.values() if rules.wildcard} == {"cds", "lds"}
    assert {rules.label for rules in RULES.values() if rules.full_state} == {"cds", "lds"}
    assert {rules.label for rules in RULES.values() if not rules.removals} == {"ecds"}
    assert {rules.label for rules in RULES.values() if rules.alone} == {"ecds"}
