from __future__ import annotations

from typing import Any

import pytest

from hfi_core.address import Address
from hfi_core.errors import SidecarInvalid
from hfi_core.sidecars.document import SidecarDocument, Sidecars, decode, encode
from hfi_core.sidecars.model import NOTHING, Sidecar, Wish, complete, missing
from hfi_core.store.protocol import Entry

HERE, THERE = Address("127.0.0.1", 10000), Address("127.0.0.1", 9000)


def sidecar(name: str = "checkout", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Sidecar",
        "metadata": {"name": name},
        "spec": {"listen": "127.0.0.1:10000", "upstream": "127.0.0.1:9000", **spec},
    }


def test_a_document_is_a_wish() -> None:
    assert SidecarDocument.of(sidecar()).wish == Wish(HERE, (THERE,))
    more = sidecar(upstream=["app-0:1", "app-1:1"], accessLog="-", bandwidth=False)
    apps = (Address("app-0", 1), Address("app-1", 1))
    assert SidecarDocument.of(more).wish == Wish(HERE, apps, "-", False)


@pytest.mark.parametrize(("left_out", "wish"), [("listen", Wish(upstream=(THERE,))), ("upstream", Wish(listen=HERE))])
def test_a_document_may_leave_one_of_the_two_to_the_node(left_out: str, wish: Wish) -> None:
    document = sidecar()
    del document["spec"][left_out]
    read = SidecarDocument.of(document)
    assert read.wish == wish
    assert decode(entry("checkout", encode(read))) == read
    assert left_out not in read.document(1)["spec"]
    assert SidecarDocument.of(sidecar(**{left_out: None})).wish == wish


@pytest.mark.parametrize(
    ("spec", "pointer", "words"),
    [
        ({"listen": "localhost:1"}, "/spec/listen", "IP addresses only"),
        ({"listen": "10000"}, "/spec/listen", "HOST:PORT"),
        ({"listen": 10000}, "/spec/listen", "string"),
        ({"listen": None, "upstream": None, "bandwidth": False}, "/spec", "needs listen, upstream or both"),
        ({"upstream": "app:0"}, "/spec/upstream", "above 0"),
        ({"upstream": []}, "/spec/upstream", "1 to 64"),
        ({"upstream": ["app:1", "127.0.0.1:1"]}, "/spec/upstream", "mixes"),
        ({"upstream": ["app:1", "app:1"]}, "/spec/upstream", "twice"),
        ({"accessLog": ""}, "/spec/accessLog", "path of a file"),
        ({"bandwidth": "no"}, "/spec/bandwidth", "true or false"),
        ({"cluster": "c"}, "/spec/cluster", "not a known field"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(spec: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(SidecarInvalid) as refused:
        SidecarDocument.of(sidecar(**spec))
    [problem] = refused.value.problems
    assert (problem.pointer, words in problem.detail) == (pointer, True), problem


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(SidecarInvalid) as refused:
        SidecarDocument.of(
            {
                "kind": "Sidecar",
                "metadata": {"name": "A b"},
                "spec": {"listen": "x", "upstream": [], "bandwidth": "no"},
                "more": 1,
            }
        )
    assert {problem.pointer for problem in refused.value.problems} == {
        "/apiVersion",
        "/metadata/name",
        "/spec/listen",
        "/spec/upstream",
        "/spec/bandwidth",
        "/more",
    }


def entry(name: str, value: bytes, version: int = 7) -> Entry:
    return Entry(name, value, version)


def test_what_is_stored_is_read_and_sent_back_as_it_is() -> None:
    document = SidecarDocument.of(sidecar(bandwidth=False))
    assert decode(entry("checkout", encode(document))) == document
    found = Sidecars.of([entry("checkout", encode(document))], 9)
    answered = found.by_cluster["checkout"].as_json()
    assert answered["metadata"] == {"name": "checkout", "version": "7"}
    assert SidecarDocument.of({**answered, "status": {}}).wish == document.wish


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"[" * 100_000, encode(SidecarDocument.of(sidecar("other")))])
def test_what_cannot_be_read_is_left_out_alone(value: bytes) -> None:
    good = SidecarDocument.of(sidecar())
    found = Sidecars.of([entry("bad", value), entry("checkout", encode(good))], 9)
    assert (set(found.wishes()), set(found.broken)) == ({"checkout"}, {"bad"})


OWN, OTHER = Wish(HERE, (THERE,)), Wish(THERE, (HERE,), "-", False)


@pytest.mark.parametrize(
    ("own", "document", "expected"),
    [
        (OWN, None, Sidecar(HERE, (THERE,))),
        (NOTHING, OTHER, Sidecar(THERE, (HERE,), "-", False)),
        (OWN, OTHER, Sidecar(HERE, (THERE,), "-", False)),
        (Wish(listen=HERE, bandwidth=True), OTHER, Sidecar(HERE, (HERE,), "-", True)),
        (Wish(listen=HERE), None, None),
        (Wish(upstream=(THERE,)), Wish(upstream=(HERE,)), None),
        (NOTHING, None, None),
    ],
)
def test_a_nodes_own_word_comes_first(own: Wish, document: Wish | None, expected: Sidecar | None) -> None:
    assert complete(own, document) == expected


@pytest.mark.parametrize(
    ("own", "document", "expected"),
    [
        (Wish(listen=HERE), None, ("upstream",)),
        (Wish(listen=HERE), Wish(listen=THERE), ("upstream",)),
        (NOTHING, Wish(upstream=(THERE,)), ("listen",)),
        (Wish(listen=HERE), Wish(upstream=(THERE,)), ()),
        (NOTHING, None, ("listen", "upstream")),
        (Wish(access_log="-", bandwidth=False), None, ("listen", "upstream")),
    ],
)
def test_what_a_node_misses(own: Wish, document: Wish | None, expected: tuple[str, ...]) -> None:
    assert missing(own, document) == expected
