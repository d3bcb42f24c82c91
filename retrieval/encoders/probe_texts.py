"""Two hundred unrelated English texts, one per line of probe_texts.txt.

The check for collapsed text towers embeds the first fifty; the calibration of scores embeds all,
because a real answer must score higher than an unrelated text. Their order is fixed: thresholds
measured on the first fifty depend on it.
"""

from __future__ import annotations

from pathlib import Path

PROBE_TEXTS: tuple[str, ...] = tuple(
    Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
)
