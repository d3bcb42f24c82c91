"""Embeds photographs with clip-retrieval, in an environment of its own, for `bench speed embed`.

It imports nothing of this repository. To make the environment, and have the row filled:

    python3.11 -m venv clip-retrieval-env
    clip-retrieval-env/bin/pip install clip-retrieval "setuptools<81"
    RETRIEVAL_CLIP_RETRIEVAL_PYTHON=clip-retrieval-env/bin/python retrieval bench speed embed

It reads the same photographs with the same weights, with as many processes to decode them.
"""

import json
import sys
import time

from clip_retrieval.clip_inference.main import main as inference


def main(photographs: str, weights: str, out: str, batch: str, workers: str) -> None:
    """Write the vectors of a folder; say the seconds, loading the model included."""
    began = time.perf_counter()
    inference(
        photographs,
        out,
        enable_text=False,
        clip_model=f"open_clip:ViT-B-32/{weights}",
        batch_size=int(batch),
        num_prepro_workers=int(workers),
    )
    report = json.dumps({"seconds": time.perf_counter() - began})
    sys.stdout.write(f"\n{report}\n")  # its progress leaves a line open


if __name__ == "__main__":
    main(*sys.argv[1:])
