"""A text encoder with the size of CLIP ViT-B/32 and random weights, for timings without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.text_encoder import TextOnlyEncoder

ARCHITECTURE = "ViT-B-32"
DIM = 512


class ClipTextTower(TextOnlyEncoder):
    """Encodes texts as CLIP does. Its vectors mean nothing; its time does not depend on weights."""

    def __init__(self) -> None:
        import open_clip

        super().__init__(DIM)
        torch.manual_seed(0)
        self._model = open_clip.create_model(ARCHITECTURE, pretrained=None).eval()
        self._tokenizer = open_clip.get_tokenizer(ARCHITECTURE)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Map texts to unit vectors, (n, 512)."""
        with torch.inference_mode():
            rows = self._model.encode_text(self._tokenizer(list(texts)), normalize=True)
        vectors: NDArray[np.float32] = rows.float().numpy()
        return vectors


def write_random_clip(path: Path) -> None:
    """Write the weights of a whole CLIP of this size, with random values, as safetensors."""
    import open_clip
    from safetensors.torch import save_model

    torch.manual_seed(0)
    save_model(open_clip.create_model(ARCHITECTURE), str(path))
