from __future__ import annotations

from typing import Any, cast

import pytest

from hfi_cli import rollout
from hfi_cli.answers import Proxy, ProxyList
from hfi_cli.errors import NotDone
from tests.unit.cli.conftest import proxies, proxy


def listed(*items: dict[str, Any]) -> ProxyList:
    return cast(ProxyList, proxies(*items).json())


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({}, True),
        ({"cluster": "c"}, True),
        ({"cluster": "other"}, False),
        ({"labels": {"track": "canary"}}, True),
        ({"cluster": "c", "labels": {"track": "stable"}}, False),
        ({"labels": {"zone": "a"}}, False),
    ],
)
def test_selectors(selector: dict[str, Any], covered: bool) -> None:
    one = cast(Proxy, proxy("n", 7, labels={"track": "canary", "x": "y"}))
    assert rollout.covers(selector, one) is covered


def test_who_lags() -> None:
    other_life = proxy("other-life", 9)
    other_life["rules"]["epoch"] = "before"
    found = rollout.progress(
        listed(
            proxy("there", 7),
            proxy("beyond", 8),
            proxy("behind", 6),
            proxy("silent", None),
            proxy("gone", 6, connected=False),
            proxy("elsewhere", 6, cluster="other"),
            other_life,
        ),
        [{"cluster": "nobody"}, {"cluster": "c"}],
        7,
    )
    assert found.concerned == ("there", "beyond", "behind", "silent", "other-life")
    assert found.lagging == ("behind", "silent", "other-life")


def test_waits_until_nobody_lags() -> None:
    answers = iter([listed(proxy("a", 6)), listed(proxy("a", 6)), listed(proxy("a", 7))])
    told: list[rollout.Progress] = []
    reached = rollout.wait(lambda: next(answers), [{}], 7, 30, told.append)
    assert reached.lagging == ()
    assert [len(progress.lagging) for progress in told] == [1, 1, 0]


def test_a_wait_that_runs_out_names_the_laggards() -> None:
    many = [proxy(f"n{number:02}", 6) for number in range(25)]
    with pytest.raises(NotDone, match=r"25 of 25 proxies do not have version 7 yet: n00, .*n19 and 5 more"):
        rollout.wait(lambda: listed(*many), [{}], 7, 0, lambda progress: None)


def test_nobody_is_concerned() -> None:
    assert rollout.wait(lambda: listed(), [{}], 7, 0, lambda progress: None).concerned == ()
