"""The vector layer: arrays and ids in, scores and ids out. Imports nothing of the other folders."""

import os
from pathlib import Path

from indexes import forking as forking  # a process that is forked must be ready for it


def _name_blas_kernels() -> None:
    """Let the OpenBLAS in FAISS's wheels use AVX-512 wherever the processor has it.

    It is older than many processors, and takes those that it does not know for ones without:
    training and filling an index then take three times as long (docs/indexing.md). It reads the
    variable when it is loaded, with FAISS; whoever has set it is left alone.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:  # not Linux: FAISS's wheels there do not bring this OpenBLAS
        return
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


_name_blas_kernels()
