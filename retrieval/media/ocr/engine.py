"""Run the OCR models of rapidocr, which are in its wheel, on one picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import MissingExtraError

PACKAGES = ("rapidocr", "onnxruntime")

DETECTION_SIDE = 1_600
"""Lines are detected at this size at most, and read from the full picture. Memory depends on it."""

MIN_SCORE = 0.5
MIN_SHORT_SCORE = 0.9
"""Lines of less than `SHORT_LINE` letters and digits need this score: shapes look like letters."""

SHORT_LINE = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of writing.

    Attributes:
        score: Confidence, 0 to 1.
        x: Centre of its box, in pixels.
        y: Likewise.
    """

    text: str
    score: float
    x: float
    y: float


class Engine(Protocol):
    """Reads the lines of a picture."""

    def __call__(self, pixels: NDArray[np.uint8]) -> list[Line]:
        """Return the lines from top to bottom; `pixels` are (height, width, 3) RGB."""
        ...


def require_ocr() -> None:
    """Check that the packages of OCR are installed, without importing them.

    Raises:
        MissingExtraError: A package is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"reading words in pictures needs {' and '.join(missing)}; install retrieval[ocr]"
        )


@functools.cache
def load_engine() -> Engine:
    """Load the models once per process; takes one to three seconds.

    Raises:
        MissingExtraError: The packages of OCR are not installed.
    """
    require_ocr()
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    # Named files are never downloaded.
    names = {
        "Det": "PP-OCRv6_det_small.onnx",
        "Rec": "PP-OCRv6_rec_small.onnx",
        "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    }
    missing = [name for name in names.values() if not (models / name).is_file()]
    if missing:
        raise MissingExtraError(
            f"the installed rapidocr lacks the model {missing[0]}; install retrieval[ocr] again"
        )
    parameters: dict[str, Any] = {
        "Global.log_level": "critical",
        "Global.max_side_len": 1 << 20,  # `reading.py` limits the size
        "Global.text_score": MIN_SCORE,
        "Det.limit_type": "max",
        "Det.limit_side_len": DETECTION_SIDE,
        # Each decoding process has an engine of its own.
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    } | {f"{part}.model_path": str(models / name) for part, name in names.items()}
    ocr = rapidocr.RapidOCR(params=parameters)

    def read(pixels: NDArray[np.uint8]) -> list[Line]:
        result: Any = ocr(np.ascontiguousarray(pixels[:, :, ::-1]))  # the models read BGR
        if not result.txts:
            return []
        lines = [
            Line(" ".join(text.split()), float(score), float(x), float(y))
            for text, score, (x, y) in zip(
                result.txts, result.scores, np.mean(result.boxes, axis=1), strict=True
            )
        ]
        return [line for line in lines if _is_plausible(line)]

    return read


def _is_plausible(line: Line) -> bool:
    characters = sum(character.isalnum() for character in line.text)
    return characters > 0 and (characters >= SHORT_LINE or line.score >= MIN_SHORT_SCORE)
