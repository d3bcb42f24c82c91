"""Members in other processes, with a Ray of this process whose nodes can end."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrieval.collection_group import CollectionGroup
from retrieval.engines.ray import searching
from retrieval.engines.ray.remote_member import RemoteMember
from retrieval.engines.ray.searching import RemoteCalls, RemoteOptions, ServedMembers
from retrieval.errors import ClusterError, FilterError, MemberUnavailableError, QueryError
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.search.coordinator import Coordinator
from retrieval.search.local_member import LocalMember
from retrieval.search.member import Member
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.targets import Target
from support.several_toys import Toys, one_and_several

pytest.importorskip("ray")


class _Error(Exception):
    """Base of the errors."""


class _TimeoutError(_Error):
    """A call takes too long."""


class _TaskError(_Error):
    """A call raised an unknown error."""


@dataclass
class LocalRay:
    """The part of Ray that a search uses; arguments and results are pickled.

    Attributes:
        alive: Whether each node is alive.
        hidden: The collections that a node does not see.
        slow: Nodes whose actors do not answer in time.
        opened: Node and collection of each actor.
    """

    alive: dict[str, bool] = field(default_factory=lambda: {"a": True, "b": True})
    hidden: dict[str, list[Path]] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    opened: list[tuple[str, Path]] = field(default_factory=list)
    killed: int = 0
    exceptions = SimpleNamespace(
        RayError=_Error, GetTimeoutError=_TimeoutError, RayTaskError=_TaskError
    )
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda node, soft: node
        )
    )

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": node, "Alive": alive, "Resources": {"CPU": 1.0}}
            for node, alive in self.alive.items()
        ]

    def remote(self, **options: object) -> Callable[[Any], Any]:
        del options
        return lambda target: SimpleNamespace(
            options=lambda scheduling_strategy: SimpleNamespace(
                remote=lambda *arguments: self._start(target, scheduling_strategy, arguments)
            )
        )

    def _start(self, target: Any, node: str, arguments: tuple[Any, ...]) -> Any:
        if target is not searching.MemberActor:
            roots = target(*arguments)
            return _Future(lambda: [r for r in roots if r not in self.hidden.get(node, [])], node)
        self.opened.append((node, arguments[0]))
        actor = target(*arguments)
        call = SimpleNamespace(
            remote=lambda *given: _Future(
                lambda: pickle.loads(pickle.dumps(actor.call(*pickle.loads(pickle.dumps(given))))),
                node,
            )
        )
        return SimpleNamespace(call=call)

    def wait(self, calls: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list]:
        return calls, []

    def get(self, future: _Future, timeout: float | None = None) -> Any:
        if not self.alive[future.node]:
            raise _Error("the actor died")
        if future.node in self.slow and timeout is not None and timeout < 100:
            raise _TimeoutError
        return future.compute()

    def kill(self, actor: Any) -> None:
        self.killed += 1


@dataclass(eq=False)
class _Future:
    compute: Callable[[], Any]
    node: str


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toys, CollectionGroup]:
    return one_and_several(tmp_path_factory.mktemp("toys"), indexed=True)


def remote(
    ray: LocalRay, group: CollectionGroup, options: RemoteOptions | None = None
) -> tuple[Coordinator, RemoteCalls]:
    """A coordinator of the collections of a group that the nodes keep open."""
    options = options or RemoteOptions()
    roots = {name: collection.root for name, collection in group.collections.items()}
    calls = RemoteCalls(ray, roots, options)
    members = Members({name: RemoteMember(name, calls.call) for name in roots})
    localizers = (SimilarityLocalizer(),)
    return (
        Coordinator(members, group.encoder, localizers, partial=not options.needs_all),
        calls,
    )


QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("red wort3", {}),
    ("high", {"to": (Target.MUSIC,)}),
    ("blue wort7 wort8", {"to": (Target.MOMENT,)}),
    ("green", {"where": ["number > 20 AND place = 'sea'"]}),
]


@pytest.mark.parametrize(("query", "options"), QUERIES)
def test_answers_equal_those_of_this_process(
    toys: tuple[Toys, CollectionGroup], query: str, options: dict[str, Any]
) -> None:
    coordinator, _ = remote(LocalRay(), toys[1])
    expected = toys[1].coordinator.search(query, SearchOptions(**options))
    found = coordinator.search(query, SearchOptions(**options))
    assert list(found.hits) == list(expected.hits)
    assert len(expected.hits) > 0
    assert found.absent == ()


def test_members_are_spread_over_the_nodes_that_see_them(
    toys: tuple[Toys, CollectionGroup],
) -> None:
    roots = [collection.root for collection in toys[1].collections.values()]
    ray = LocalRay()
    remote(ray, toys[1])
    assert sorted(node for node, _ in ray.opened) == ["a", "a", "b", "b"]
    ray = LocalRay(hidden={"a": roots[:3]})
    remote(ray, toys[1])
    assert [node for node, _ in ray.opened] == ["b", "b", "b", "a"]
    ray = LocalRay()
    remote(ray, toys[1], RemoteOptions(replicas=3))
    assert sorted(ray.opened) == sorted((node, root) for node in "ab" for root in roots)
    with pytest.raises(ClusterError, match="no node of the cluster sees the collection"):
        remote(LocalRay(hidden={"a": roots[:1], "b": roots[:1]}), toys[1])


def test_a_member_is_opened_on_another_node_when_its_node_ends(
    toys: tuple[Toys, CollectionGroup],
) -> None:
    ray = LocalRay()
    coordinator, _ = remote(ray, toys[1])
    expected = toys[1].coordinator.search("red wort3", SearchOptions())
    ray.alive["b"] = False
    found = coordinator.search("red wort3", SearchOptions())
    assert list(found.hits) == list(expected.hits)
    assert [node for node, _ in ray.opened[4:]] == ["a", "a"]
    assert ray.killed == 2


def test_a_member_that_does_not_answer_is_left_out_or_an_error(
    toys: tuple[Toys, CollectionGroup],
) -> None:
    names = list(toys[1].collections)
    roots = [collection.root for collection in toys[1].collections.values()]
    ray = LocalRay(hidden={"a": roots[:1], "b": roots[1:]})
    coordinator, _ = remote(ray, toys[1])
    ray.slow.add("b")
    found = coordinator.search("red wort3", SearchOptions())
    assert found.absent == (names[0],)
    assert {hit.collection for hit in found.hits} <= set(names[1:])
    ray = LocalRay(hidden={"a": roots[:1], "b": roots[1:]})
    coordinator, _ = remote(ray, toys[1], RemoteOptions(needs_all=True, timeout_seconds=2.5))
    ray.slow.add("b")
    with pytest.raises(MemberUnavailableError, match=r"does not answer: no answer within 2\.5 s"):
        coordinator.search("red wort3", SearchOptions())
    # A second replica answers instead of a slow one.
    ray = LocalRay()
    coordinator, _ = remote(ray, toys[1], RemoteOptions(replicas=2, needs_all=True))
    ray.slow.add("b")
    assert coordinator.search("red wort3", SearchOptions()).absent == ()


def test_errors_of_members_are_raised_as_they_are(toys: tuple[Toys, CollectionGroup]) -> None:
    coordinator, calls = remote(LocalRay(), toys[1])
    with pytest.raises(FilterError):
        coordinator.search("red", SearchOptions(where=["nothing = 1"]))
    with pytest.raises(QueryError):
        coordinator.search("red", SearchOptions(spaces=[], to=(), k=0))
    calls.close()
    assert calls._copies[next(iter(toys[1].collections))].replicas == []


def test_remote_members_have_all_methods_of_a_member() -> None:
    methods = {name for name in vars(Member) if not name.startswith("_")}
    assert methods == {name for name in vars(RemoteMember) if not name.startswith("_")}
    assert methods <= set(dir(LocalMember))


def test_a_served_generation_is_open_until_nothing_uses_it(
    toys: tuple[Toys, CollectionGroup],
) -> None:
    ray = LocalRay()
    snapshot = toys[0].snapshot
    served = ServedMembers(ray, RemoteOptions(replicas=2))
    member = served.open(snapshot, "all")
    assert served.partial
    assert member.contents().items == len(toys[0])
    assert [root for _, root in ray.opened] == [snapshot.root.absolute()] * 2
    del member
    assert ray.killed == 2
