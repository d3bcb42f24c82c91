"""Builds an index with autofaiss in a separate environment, for the benchmark `index`.

The script imports nothing of this repository. Create the environment as follows. autofaiss 2.18
needs NumPy 1 and older versions of FAISS and pyarrow, which it does not declare:

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
    """Build for a memory limit; print the time, the chosen index and its recall.

    autofaiss has no target recall: it tunes for a query time and a minimum number of answers.
    """
    start = time.perf_counter()
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
    seconds = time.perf_counter() - start
    if index is None:
        raise SystemExit(f"autofaiss found no index for {index_bytes} bytes")
    truth = np.load(f"{folder}/ask-truth.npy")
    _, ids = index.search(np.load(f"{folder}/ask.npy"), NEIGHBOURS)
    shares = [
        np.isin(true_ids, found_ids).mean() for true_ids, found_ids in zip(truth, ids, strict=True)
    ]
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
