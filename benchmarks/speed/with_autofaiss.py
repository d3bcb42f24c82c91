"""Builds with autofaiss, in an environment of its own, what `bench speed index` compares with.

It imports nothing of this repository. To make the environment, and have the rows filled (autofaiss
2.18 works with NumPy 1, and with a FAISS and a pyarrow of its time, which it does not ask for):

    python3.11 -m venv autofaiss-env
    autofaiss-env/bin/pip install autofaiss "faiss-cpu==1.12.*" "pyarrow<21"
    RETRIEVAL_AUTOFAISS_PYTHON=autofaiss-env/bin/python retrieval bench speed index
"""

import json
import logging
import sys
import time

import numpy as np
from autofaiss import build_index

NEIGHBOURS = 10


def main(folder: str, index_bytes: str) -> None:
    """Build for so much index memory; print seconds, the index chosen and the ids it finds.

    autofaiss takes no recall: it tunes for its time limit of a query and at least so many answers.
    """
    began = time.perf_counter()
    index, about = build_index(
        f"{folder}/rows",
        index_path=f"{folder}/autofaiss.index",
        index_infos_path=f"{folder}/autofaiss.infos",
        file_format="npy",
        max_index_memory_usage=f"{index_bytes}B",
        current_memory_available="12G",
        min_nearest_neighbors_to_retrieve=NEIGHBOURS,
        metric_type="ip",
        verbose=logging.WARNING,
    )
    seconds = time.perf_counter() - began
    if index is None:
        raise SystemExit(f"autofaiss found no index for {index_bytes} bytes")
    wanted = np.load(f"{folder}/ask-truth.npy")
    _, found = index.search(np.load(f"{folder}/ask.npy"), NEIGHBOURS)
    shares = [np.isin(want, got).mean() for want, got in zip(wanted, found, strict=True)]
    report = {
        "seconds": seconds,
        "factory": about["index_key"],
        "setting": about["index_param"],
        "bytes": int(about["size in bytes"]),
        "recall": float(np.mean(shares)),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
