"""Maps the tensors of a safetensors file, so that only what is used is read from the disk.

The format is https://github.com/huggingface/safetensors#format. Its library copies whole tensors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def map_tensors(path: Path, prefix: str = "") -> dict[str, NDArray[np.float32]]:
    """Map the float tensors of a checked file whose names have a prefix.

    Args:
        path: The file. It must not change while its tensors are used.
        prefix: Beginning of their names, which is removed.

    Returns:
        Tensors by name. Those of 32 bits are mapped, float16 and bfloat16 ones are converted.

    Raises:
        ValueError: The file is damaged.
        OSError: The file cannot be read.
    """
    content = np.memmap(path, np.uint8, "r")
    start = 8 + int(content[:8].view("<u8")[0])
    header = json.loads(content[8:start].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name.startswith(prefix) and entry.get("dtype") in ("F32", "F16", "BF16"):
            first, last = entry["data_offsets"]
            values = _as_float32(content[start + first : start + last], entry["dtype"])
            if len(values) != math.prod(entry["shape"]):
                raise ValueError(f"{path}: {name} is truncated")
            tensors[name.removeprefix(prefix)] = values.reshape(entry["shape"])
    return tensors


def _as_float32(content: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    if dtype == "F32":
        return content.view("<f4")
    if dtype == "F16":
        return content.view("<f2").astype(np.float32)
    # bfloat16 is the upper half of float32.
    return (content.view("<u2").astype(np.uint32) << 16).view(np.float32)
