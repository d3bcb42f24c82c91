"""A process that grows a collection and is killed, or meets a full disk, on the way.

Usage: writer_process.py ROOT ITEMS [kill_at=N] [kill_before=NAME] [file_bytes=N] [hold=1]
"""

import os
import resource
import sys
from pathlib import Path

# The package, and the helpers of the tests; not the folder of tests that has the package's name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from store_samples import grow

from indexes.errors import RetrievalError
from retrieval.store.writer import CollectionWriter
from support.flaky_system import FlakySystem, use_system


def main(root: Path, items: int, options: dict[str, str]) -> None:
    """Grow the collection under the given conditions."""
    if "hold" in options:
        with CollectionWriter.open(root):
            os.write(1, b"held\n")
            sys.stdin.read()
        return
    if "file_bytes" in options:
        limit = int(options["file_bytes"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    system = FlakySystem(
        kill_at=int(options.get("kill_at", 0)),
        kill_before_renaming_to=options.get("kill_before", ""),
    )
    use_system(system)
    grow(root, items, publish_every=6, index=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), dict(each.split("=") for each in sys.argv[3:]))
    except RetrievalError as error:
        sys.exit(f"{type(error).__name__}: {error}")
