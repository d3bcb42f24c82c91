"""Importing the vector layer selects kernels for the OpenBLAS of FAISS's wheels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def named_after_import(**already: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    code = "import os, indexes; print(os.environ.get('OPENBLAS_CORETYPE', ''))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**env, **already},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()


def test_avx512_kernels_are_selected_if_supported() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    has_it = cpuinfo.exists() and set(cpuinfo.read_text().split()) >= AVX512
    assert named_after_import() == ("SkylakeX" if has_it else "")


@pytest.mark.parametrize("kernels", ["Haswell", "Zen"])
def test_existing_kernel_selection_is_kept(kernels: str) -> None:
    assert named_after_import(OPENBLAS_CORETYPE=kernels) == kernels
