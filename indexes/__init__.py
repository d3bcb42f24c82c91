"""Vector search over NumPy arrays: exact, FAISS and GPU indexes behind one protocol."""

import os
from pathlib import Path

from indexes import forking as forking  # registers the handler that runs after a fork


def _select_blas_kernels() -> None:
    """Enable AVX-512 in the OpenBLAS of FAISS's wheels where the processor supports it.

    That OpenBLAS does not recognise newer processors and falls back to kernels without AVX-512,
    which makes training and filling an index three times slower (docs/indexing.md). It reads the
    variable when FAISS is loaded. An existing value is kept.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:  # Not Linux: FAISS's wheels for other systems do not contain this OpenBLAS.
        return
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


_select_blas_kernels()
