"""Reads NumPy files from untrusted sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_array(path: Path) -> NDArray[Any]:
    """Read the array of a .npy file, or the only array of a .npz file; pickles are refused.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, holds objects or several arrays, or exceeds the memory.
    """
    names: list[str] = []
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            names = loaded.files
            if len(names) == 1:
                array: NDArray[Any] = loaded[names[0]]
                return array
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, struct and tokenize raise errors of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"not a complete .npy or .npz file of numbers: {reason[:200]}") from error
    raise ValueError(f"it holds {len(names)} arrays, expected one")
