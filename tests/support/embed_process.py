"""Runs `embed` with toy encoders in a process of its own, so that tests may kill it.

Usage: python embed_process.py SOURCE COLLECTION
"""

import sys
from pathlib import Path

# The package, and the helpers of the tests; not the folder of tests that has the package's name.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import retrieval.automatic.finding
import retrieval.embedding.options
import retrieval.search.open_collection
import retrieval.store.pending
from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from support.toy_encoder import ToyEncoder

TOYS = {toy.spec: toy for toy in (ToyEncoder(), ToyEncoder.music())}


def use_toys(patch) -> None:
    """Let `embed` find toy encoders; `patch(module, name, value)` sets an attribute."""
    for module in (retrieval.embedding.options, retrieval.automatic.finding):
        patch(module, "resolve", lambda model: (model,))
    for module in (retrieval.embedding.options, retrieval.search.open_collection):
        patch(module, "load_encoder", lambda spec, **_: TOYS[spec])


if __name__ == "__main__":
    use_toys(setattr)
    retrieval.store.pending.SHARD_SECONDS = 0.0
    embed([sys.argv[1]], Path(sys.argv[2]), EmbedOptions(models=tuple(TOYS), workers=0))
