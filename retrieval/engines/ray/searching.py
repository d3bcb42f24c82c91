"""`search` on a cluster: each member stays open in actors on nodes that see it."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.collection import Collection
from retrieval.collection_group import CollectionGroup
from retrieval.collection_paths import expand
from retrieval.engines.ray.nodes import nodes_that_see, on_node
from retrieval.engines.ray.remote_member import RemoteMember
from retrieval.errors import ClusterError, MemberUnavailableError, RetrievalError
from retrieval.localization.choose import choose_localizers
from retrieval.search.coordinator import Coordinator
from retrieval.search.local_member import LocalMember
from retrieval.search.members import Members
from retrieval.store.reader import Snapshot

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""Time of one call of a member."""

OPEN_SECONDS = 300.0
"""Time for a member to open its collection."""

ACTOR_CPUS = 0.1
"""Share of a processor that a member reserves; one node can hold many members."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How members are kept and asked.

    Attributes:
        replicas: Number of nodes on which each collection is open, if so many see it.
        timeout_seconds: Time of one call of a member.
        needs_all: Raise an error if a member does not answer, instead of a partial answer.
        device: Device of the indexes on the nodes.
    """

    replicas: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS
    needs_all: bool = False
    device: str = "cpu"


class MemberActor:
    """Holds one collection open; an actor of the cluster."""

    def __init__(self, root: Path, device: str, generation: int | None) -> None:
        snapshot = (
            Snapshot.open(root)
            if generation is None
            else Snapshot.open_generation(root, generation)
        )
        self._member = LocalMember(snapshot, device=device)

    def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Call a method of the member; a known error is returned."""
        try:
            return getattr(self._member, method)(*arguments)
        except RetrievalError as error:
            return error


@dataclass(slots=True)
class _Replica:
    """An actor and the node that it is on."""

    actor: Any
    node_id: str


@dataclass(slots=True)
class _Copies:
    """The replicas of one collection, and the number of calls."""

    replicas: list[_Replica] = field(default_factory=list)
    calls: int = 0


class RemoteCalls:
    """Keeps members open in actors, asks them, and replaces those that die.

    Args:
        ray: The connected module.
        roots: The collections by name.
        options: How members are kept and asked.
        generation: The generation to open; None: the current ones.

    Raises:
        ClusterError: No node sees a collection.
    """

    def __init__(
        self,
        ray: Any,
        roots: dict[str, Path],
        options: RemoteOptions,
        generation: int | None = None,
    ) -> None:
        self._ray = ray
        self._generation = generation
        self._roots = roots
        self._options = options
        self._lock = threading.Lock()
        self._class = ray.remote(
            num_cpus=ACTOR_CPUS, max_restarts=0, max_task_retries=0, max_concurrency=4
        )(MemberActor)
        self._copies: dict[str, _Copies] = {name: _Copies() for name in roots}
        seen = nodes_that_see(ray, list(roots.values()))
        for name, root in roots.items():
            for _ in range(min(options.replicas, len(seen[root]))):
                self._add_replica(name, seen[root])

    def close(self) -> None:
        """End all actors."""
        for copies in self._copies.values():
            for replica in copies.replicas:
                self._kill(replica)
            copies.replicas.clear()

    def call(self, name: str, method: str, arguments: tuple[Any, ...]) -> Any:
        """Call a method of a member on one of its nodes, then on another one if that fails.

        Raises:
            MemberUnavailableError: No node answers in time.
            RetrievalError: The error of the member.
        """
        is_opening = method == "contents"
        seconds = OPEN_SECONDS if is_opening else self._options.timeout_seconds
        reason = "no node sees it"
        for replica in self._chosen(name):
            try:
                answer = self._ray.get(
                    replica.actor.call.remote(method, arguments), timeout=seconds
                )
            except self._ray.exceptions.GetTimeoutError:
                reason = f"no answer within {seconds:g} seconds"
            except self._ray.exceptions.RayTaskError as error:
                lines = str(error).strip().splitlines()
                reason = lines[-1] if lines else "unknown error"
            except self._ray.exceptions.RayError:
                reason = "its node ended"
                self._replace(name, replica)
            else:
                if isinstance(answer, RetrievalError):
                    raise answer
                return answer
        raise MemberUnavailableError(f"{name} does not answer: {reason}", (name,))

    # ------------------------------------------------------------ replicas

    def _chosen(self, name: str) -> Iterable[_Replica]:
        """Yield the replicas in turns, and once one that replaces a dead one."""
        with self._lock:
            copies = self._copies[name]
            if not copies.replicas:
                self._find_replica(name)
            start = copies.calls % max(1, len(copies.replicas))
            copies.calls += 1
            ordered = copies.replicas[start:] + copies.replicas[:start]
        yield from ordered
        with self._lock:
            new = [each for each in self._copies[name].replicas if each not in ordered]
        yield from new

    def _replace(self, name: str, dead: _Replica) -> None:
        """Open a member on another node instead of a dead one."""
        with self._lock:
            replicas = self._copies[name].replicas
            if dead not in replicas:
                return  # another thread did
            replicas.remove(dead)
            self._kill(dead)
            self._find_replica(name)

    def _find_replica(self, name: str) -> None:
        root = self._roots[name]
        try:
            self._add_replica(name, nodes_that_see(self._ray, [root])[root])
        except ClusterError as error:
            logger.warning("%s: %s", name, error)

    def _add_replica(self, name: str, node_ids: Sequence[str]) -> None:
        """Open a member on the one of some nodes that holds the fewest."""
        own = {replica.node_id for replica in self._copies[name].replicas}
        load = Counter(
            replica.node_id for copies in self._copies.values() for replica in copies.replicas
        )
        free = [node_id for node_id in node_ids if node_id not in own]
        if not free:
            return
        node_id = min(free, key=lambda each: load[each])
        actor = self._class.options(scheduling_strategy=on_node(self._ray, node_id)).remote(
            self._roots[name], self._options.device, self._generation
        )
        self._copies[name].replicas.append(_Replica(actor, node_id))

    def _kill(self, replica: _Replica) -> None:
        try:
            self._ray.kill(replica.actor)
        except Exception as error:  # it is dead, or the cluster is
            logger.debug("%s", error)


class RemoteGroup(CollectionGroup):
    """Collections that the nodes of a cluster keep open and search.

    This process embeds queries, merges the answers, and re-ranks.
    """

    def __init__(
        self,
        ray: Any,
        roots: Sequence[Path],
        options: RemoteOptions,
        *,
        device: str = "auto",
        localizer: str = "auto",
    ) -> None:
        named = {str(root): root.absolute() for root in expand(roots)}
        collections = {
            name: Collection(root, device=device, localizer=localizer)
            for name, root in named.items()
        }
        super().__init__(collections, device=device, localizer=localizer)
        self._options = options
        self._calls = RemoteCalls(ray, named, options)
        self._remote: Coordinator | None = None

    @property
    def coordinator(self) -> Coordinator:
        """Searches the members on the nodes."""
        if self._remote is None:
            members = Members(
                {name: RemoteMember(name, self._calls.call) for name in self.collections}
            )
            spaces = list(members.spaces.values())
            localizers = choose_localizers(self.localizer, spaces, device=self.device)
            self._remote = Coordinator(
                members, self.encoder, localizers, partial=not self._options.needs_all
            )
        return self._remote

    def summary(self) -> str:
        """Describe the contents in one line."""
        return f"{len(self.collections)} collections, {self.coordinator.members.item_count} items"

    def load(self) -> None:
        """Do nothing: the nodes open the collections."""

    def close(self) -> None:
        """End the actors."""
        self._calls.close()


class ServedMembers:
    """Implements `RemoteMembers`: opens each generation of a served collection in actors.

    The actors of a generation end when no search uses it.

    Attributes:
        partial: Whether a search leaves out collections that do not answer.
    """

    def __init__(self, ray: Any, options: RemoteOptions) -> None:
        self._ray = ray
        self._options = options
        self.partial = not options.needs_all

    def open(self, snapshot: Snapshot, name: str) -> RemoteMember:
        """Open a generation on the nodes that see it."""
        roots = {name: snapshot.root.absolute()}
        generation = snapshot.manifest.generation
        calls = RemoteCalls(self._ray, roots, self._options, generation)
        member = RemoteMember(name, calls.call)
        weakref.finalize(member, calls.close)
        return member
