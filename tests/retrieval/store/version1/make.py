"""Makes the collection beside this file; run it with the release whose format it is to show.

python tests/retrieval/store/version1/make.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Failure, MediaInfo, Medium, Segments, Space

COLUMNS = [
    {"year": 1999, "price": 10.4, "live": True, "note": "one"},
    {"year": 2001, "price": None, "live": False, "note": "2"},
    {"year": None, "price": -2.0, "live": None, "note": None},
    {"year": 2**53 + 1, "price": 1e300, "live": True, "note": "four"},
]

space = Space("toy-00000000", "toy", 2, (Medium.IMAGE,), "0" * 64)
nan = np.full(1, np.nan, np.float32)
with CollectionWriter.open(Path(sys.argv[1]), create=True) as writer:
    writer.add_space(space)
    for number, columns in enumerate(COLUMNS):
        info = MediaInfo(
            f"/media/{number}.png", Medium.IMAGE, 10 + number, 1.5, f"{number:064x}",
            width=8, height=6, caption=f"picture {number}", columns=columns,
        )  # fmt: skip
        vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)[[number % 2]]
        segments = Segments([Medium.IMAGE], nan, nan, vectors)
        writer.add(EmbeddedItem(info, {space.name: segments}))
        if number == 1:
            writer.publish()
    writer.add_failure(Failure("/media/bad.png", "decode", "the file is empty; replace it", 0, 1.0))
    writer.publish()
    writer.remove([1])
