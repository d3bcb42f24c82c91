"""Arrays in files of NumPy, read without trusting the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file, or the only one of a .npz; no pickle is read.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, holds objects, several arrays, or more than memory can.
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
    except Exception as error:  # of zip, zlib, struct, the tokenizer: a damaged file raises any
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"it is no whole .npy or .npz of numbers: {reason[:200]}") from error
    raise ValueError(f"it holds {len(names)} arrays, expected one")
