from __future__ import annotations

import pytest

from hfi_xds import rejections
from hfi_xds.rejections import MAX_FOR_EACH, Rejections
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from tests.unit.xds.talk import of


def test_a_rejection_is_of_one_content_by_one_node() -> None:
    known = Rejections()
    known.add("n1", EXTENSION_CONFIG, "hfi", "v1")
    assert known.has("n1", EXTENSION_CONFIG, "hfi", "v1")
    assert not known.has("n2", EXTENSION_CONFIG, "hfi", "v1")
    assert not known.has("n1", CLUSTER, "hfi", "v1")
    assert not known.has("n1", EXTENSION_CONFIG, "other", "v1")
    assert not known.has("n1", EXTENSION_CONFIG, "hfi", "v2")


def test_a_resource_is_known_by_its_content() -> None:
    known = Rejections()
    [bad], [good] = of(hfi="bad"), of(hfi="good")
    known.add("n1", bad.type_url, bad.name, bad.version)
    assert known.has_resource("n1", bad)
    assert not known.has_resource("n1", good)


def test_a_node_that_rejects_everything_costs_little() -> None:
    known = Rejections()
    for number in range(MAX_FOR_EACH):
        known.add("n1", EXTENSION_CONFIG, "hfi", str(number))
    # What is rejected again is new again.
    known.add("n1", EXTENSION_CONFIG, "hfi", "0")
    known.add("n1", EXTENSION_CONFIG, "hfi", "one more")
    assert known.has("n1", EXTENSION_CONFIG, "hfi", "0")
    assert not known.has("n1", EXTENSION_CONFIG, "hfi", "1")


def test_nodes_are_bounded_and_the_longest_silent_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "MAX_NODES", 2)
    known = Rejections()
    for node in ("n1", "n2", "n1", "n3"):
        known.add(node, EXTENSION_CONFIG, "hfi", "v")
    assert [known.has(node, EXTENSION_CONFIG, "hfi", "v") for node in ("n1", "n2", "n3")] == [True, False, True]
