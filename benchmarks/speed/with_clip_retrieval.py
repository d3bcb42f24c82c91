"""Embeds photographs with clip-retrieval in a separate environment, for the benchmark `embed`.

The script imports nothing of this repository. Create the environment as follows:

    python3.11 -m venv clip-retrieval-env
    clip-retrieval-env/bin/pip install clip-retrieval "setuptools<81"
    RETRIEVAL_CLIP_RETRIEVAL_PYTHON=clip-retrieval-env/bin/python retrieval bench speed embed

It embeds the same photographs with the same weights and number of decoding processes.
"""

import sys

from clip_retrieval.clip_inference.main import main as inference


def main(photographs: str, weights: str, out: str, batch: str, workers: str) -> None:
    """Write the vectors of a folder."""
    inference(
        photographs,
        out,
        enable_text=False,
        clip_model=f"open_clip:ViT-B-32/{weights}",
        batch_size=int(batch),
        num_prepro_workers=int(workers),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
