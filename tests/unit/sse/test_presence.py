from __future__ import annotations

import asyncio

from hfi_core.feed import Feed
from hfi_core.policy.model import Policy
from hfi_core.policy.stored import StoredPolicy
from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.snapshot import NodeIdentity, Snapshot
from hfi_core.store.memory import MemoryStore
from hfi_sse.hub import Reader, StreamHub
from hfi_sse.presence import Presence
from hfi_sse.views import Audience, Position
from tests.support.policies import policy
from tests.support.waiting import eventually

NODE = NodeIdentity("n", "one")
ONE = Audience("one")


class Scene:
    def __init__(self, grace: float = 60) -> None:
        self.proxies = ProxyRegistry()
        self.hub = StreamHub(Feed(MemoryStore()), lambda: 1)
        self.presence = Presence(self.proxies, self.hub, grace)
        self.publish(1)

    def publish(self, version: int, cluster: str = "two") -> None:
        stored = StoredPolicy(Policy.model_validate(policy("p", selector={"cluster": cluster})), version, 1)
        self.hub.tracker.advance(Snapshot("e", version, {"p": stored}))

    @property
    def status(self) -> ProxyStatus:
        found = self.proxies.get("n")
        assert found is not None
        return found


async def test_a_poll_counts_as_polling_for_a_grace_after_it() -> None:
    scene = Scene(grace=0.01)
    with scene.presence.polling(NODE, Position()):
        assert scene.status.polling
        assert scene.status.rules_version is None, "it has proven nothing"
    assert scene.status.polling, "it is about to ask again"
    await eventually(lambda: not scene.status.polling)


async def test_who_comes_back_is_never_gone() -> None:
    scene = Scene(grace=0)
    with scene.presence.polling(NODE, Position()):
        pass
    with scene.presence.polling(NODE, Position()):
        await asyncio.sleep(0)
        assert scene.status.polling, "the goodbye was taken back"


async def test_two_polls_of_one_node_are_one_presence() -> None:
    scene = Scene(grace=0)
    with scene.presence.polling(NODE, Position()):
        with scene.presence.polling(NODE, Position()):
            pass
        await asyncio.sleep(0)
        assert scene.status.polling


async def test_a_position_is_proof_of_what_was_sent_before() -> None:
    scene = Scene()
    with scene.presence.polling(NODE, Position(1, "e")):
        assert (scene.status.rules_version, scene.status.rules_epoch) == (1, "e")
    scene.publish(2)
    scene.publish(3, cluster="one")
    with scene.presence.polling(NODE, Position(2, "e")):
        assert scene.status.rules_version == 2, "3 concerns it, and it does not have it"
    with scene.presence.polling(NODE, Position(9, "other")):
        assert (scene.status.rules_version, scene.status.rules_epoch) == (9, "other")


async def test_what_changes_nothing_for_a_parked_proxy_is_confirmed_when_asked() -> None:
    scene = Scene()
    reader: Reader = asyncio.get_running_loop().create_future()
    with scene.presence.polling(NODE, Position(1, "e")) as parked:
        parked.joins(reader)
        scene.hub.tracker.park(reader, ONE, Position(1, "e"))
        scene.publish(2)
        assert scene.status.rules_version == 1
        scene.presence.confirm()
        assert scene.status.rules_version == 2
        scene.publish(3, cluster="one")
        scene.presence.confirm()
        assert scene.status.rules_version == 2, "it was woken, and has not confirmed"


async def test_an_answer_that_says_nothing_new_confirms() -> None:
    scene = Scene()
    with scene.presence.polling(NODE, Position(1, "e")) as parked:
        scene.publish(2)
        parked.confirmed = True
    assert scene.status.rules_version == 2


async def test_nothing_is_told_of_a_reader_that_is_no_proxy() -> None:
    scene = Scene()
    with scene.presence.polling(None, Position(1, "e")) as parked:
        parked.joins(asyncio.get_running_loop().create_future())
    scene.presence.confirm()
    assert scene.proxies.list() == ()


async def test_before_the_first_snapshot_nothing_is_proven() -> None:
    proxies = ProxyRegistry()
    presence = Presence(proxies, StreamHub(Feed(MemoryStore()), lambda: 1), 60)
    with presence.polling(NODE, Position(1, "e")):
        presence.confirm()
    status = proxies.get("n")
    assert status is not None
    assert status.polling
    assert status.rules_version is None
    presence.close()


async def test_closing_takes_goodbyes_back() -> None:
    scene = Scene(grace=0)
    with scene.presence.polling(NODE, Position()):
        with scene.presence.polling(NodeIdentity("m"), Position()):
            pass
        scene.presence.close()
    await asyncio.sleep(0.01)
    assert scene.status.polling
