"""Options of commands that search on a cluster, and the collections that its nodes keep open."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.several import SearchedGroup
from cli.terminal import escaped

if TYPE_CHECKING:
    from retrieval.collection_group import CollectionGroup
    from retrieval.search.query import Query
    from retrieval.search.result import SearchResult
    from retrieval.search.vector_query import VectorQuery
    from retrieval.targets import Target

ReplicasOption = Annotated[
    int,
    typer.Option(min=1, help="With --on: number of nodes on which each collection is open."),
]
MemberTimeoutOption = Annotated[
    float,
    typer.Option(min=0.1, help="With --on: seconds for a collection to answer."),
]
AllOption = Annotated[
    bool,
    typer.Option(
        "--all", help="With --on: fail if a collection does not answer, instead of leaving it out."
    ),
]


class SearchedOnCluster:
    """Collections that the nodes of a cluster keep open while this process runs.

    Args:
        paths: Folders and patterns.
        address: The cluster.
        device: Device of models and indexes.
        localizer: Localizer of moments.
        replicas: Number of nodes for each collection.
        timeout: Seconds for a collection to answer.
        needs_all: Fail if a collection does not answer.

    Raises:
        ClusterError: There is no cluster, or no node sees a collection.
    """

    def __init__(
        self,
        paths: Sequence[str],
        address: str,
        *,
        device: str,
        localizer: str,
        replicas: int,
        timeout: float,
        needs_all: bool,
    ) -> None:
        from retrieval.engines.ray.connection import connected
        from retrieval.engines.ray.searching import RemoteGroup, RemoteOptions

        options = RemoteOptions(replicas, timeout, needs_all, device)
        self._stack = ExitStack()
        ray = self._stack.enter_context(connected(address))
        roots = [Path(path) for path in paths]
        self._group = RemoteGroup(ray, roots, options, device=device, localizer=localizer)
        self._stack.callback(self._group.close)

    def prepare(
        self, to: Sequence[Target], queries: Sequence[Query | VectorQuery] = ()
    ) -> CollectionGroup:
        """Return the group."""
        del to, queries
        return self._group


def searched_group(
    paths: Sequence[str],
    on: str | None,
    cluster: Mapping[str, Any],
    *,
    skip_damaged: bool,
    device: str,
    localizer: str,
) -> SearchedGroup | SearchedOnCluster:
    """Return collections that this process opens, or that the nodes of a cluster keep open."""
    if on is not None:
        return SearchedOnCluster(paths, on, device=device, localizer=localizer, **cluster)
    return SearchedGroup(paths, skip_damaged=skip_damaged, device=device, localizer=localizer)


def print_absent(result: SearchResult) -> None:
    """Name the collections that did not answer a query."""
    if result.absent:
        names = ", ".join(map(escaped, result.absent))
        print(f"note: these collections did not answer and are left out: {names}", file=sys.stderr)
