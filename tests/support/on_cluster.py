"""Runs a coordinator in a process of its own, so that tests may kill it.

Usage: python on_cluster.py embed ADDRESS SOURCE COLLECTION [COUNT]
       python on_cluster.py search ADDRESS REPLICAS COLLECTION...

`embed` makes small units. `search` answers each line of standard input by one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# The package, and the helpers of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.units import GroupLimits

SMALL_UNITS = GroupLimits(min_work=15.0, max_work=25.0)


def embed(address: str, source: str, collection: str, count: str | None = None) -> None:
    from retrieval.engines.ray.embedding import ClusterOptions, embed_on

    cluster = ClusterOptions(
        address, 2, collections=None if count is None else int(count), limits=SMALL_UNITS
    )
    options = EmbedOptions(models=("tiny",), device="cpu")
    report = embed_on([source], Path(collection), options, cluster)
    show({"added": sum(report.added.values()), "unchanged": report.unchanged,
          "failed": report.failed})  # fmt: skip


def search(address: str, replicas: str, *collections: str) -> None:
    from retrieval.engines.ray.connection import connected
    from retrieval.engines.ray.searching import RemoteGroup, RemoteOptions

    with connected(address) as ray:
        options = RemoteOptions(int(replicas), timeout_seconds=60.0)
        group = RemoteGroup(ray, [Path(each) for each in collections], options, device="cpu")
        for line in sys.stdin:
            result = group.answer(line.strip(), k=8)
            hits = [[hit.collection, hit.uri, round(hit.score or 0.0, 4)] for hit in result.hits]
            show({"hits": hits, "absent": list(result.absent)})
        group.close()


def show(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"embed": embed, "search": search}[sys.argv[1]](*sys.argv[2:])
