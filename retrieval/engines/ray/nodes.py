"""The nodes of a cluster: which are alive, and which of them see a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrieval.errors import ClusterError
from retrieval.store.current import read_current

PROBE_SECONDS = 60.0
"""Time for a node to say which collections it sees."""


def live_nodes(ray: Any) -> list[dict[str, Any]]:
    """Return the nodes of the cluster that are alive and have processors.

    Raises:
        ClusterError: There is none.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise ClusterError("the cluster has no live node; see `ray status`")
    return nodes


def on_node(ray: Any, node_id: str) -> Any:
    """Return the scheduling strategy that places a task or an actor on one node."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id, soft=False)


def nodes_that_see(ray: Any, roots: Sequence[Path]) -> dict[Path, list[str]]:
    """Return the ids of the live nodes that see each collection.

    Raises:
        ClusterError: No node sees one of them.
    """
    probe = ray.remote(num_cpus=0, max_retries=0)(_visible)
    calls = {
        probe.options(scheduling_strategy=on_node(ray, node["NodeID"])).remote(list(roots)): node
        for node in live_nodes(ray)
    }
    done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=PROBE_SECONDS)
    seen: dict[Path, list[str]] = {root: [] for root in roots}
    for call in done:
        try:
            visible = ray.get(call)
        except ray.exceptions.RayError:
            continue  # the node died
        for root in visible:
            seen[root].append(calls[call]["NodeID"])
    for root, node_ids in seen.items():
        if not node_ids:
            raise ClusterError(
                f"no node of the cluster sees the collection {root}; mount its file system on a "
                "node at the same path"
            )
    return seen


def _visible(roots: list[Path]) -> list[Path]:
    """Return those of some collections that this node sees."""
    return [root for root in roots if read_current(root) is not None]
