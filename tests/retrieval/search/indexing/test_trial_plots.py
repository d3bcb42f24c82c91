from pathlib import Path

import numpy as np
from PIL import Image

from retrieval.search.indexing.trial_plots import draw_trials, plot_text
from retrieval.search.indexing.trials import Trial

TRIALS = (
    Trial(None, 2_000, {"text": 1.0, "media": 1.0}, True, 90.0, 128, 0.0, ((1.0, 90.0),)),
    Trial(
        "IVF64,SQ8", 2_000, {"text": 0.9, "media": 0.96}, False, 800.0, 72.0, 0.1,
        ((0.3, 2_000.0), (0.7, 1_500.0), (0.9, 800.0)),
    ),
)  # fmt: skip


def test_trials_are_drawn_in_text() -> None:
    lines = plot_text(TRIALS).splitlines()
    assert lines[0].strip() == "queries/s"
    assert lines[1].split()[0] == "10000"
    rows = {line.index("b"): number for number, line in enumerate(lines[1:17]) if "b" in line}
    assert len(rows) == 2  # the point below a recall of a half is left out
    assert [number for _, number in sorted(rows.items())] == sorted(rows.values())
    assert lines[-2:] == ["           a  exact", "           b  IVF64,SQ8"]


def test_trials_are_drawn_as_a_picture(tmp_path: Path) -> None:
    draw_trials(TRIALS, 0.95, tmp_path / "trials.png")
    picture = np.asarray(Image.open(tmp_path / "trials.png").convert("RGB"))
    assert picture.shape == (520, 900, 3)
    red, blue = (192, 57, 43), (36, 113, 163)
    for colour in (red, blue):
        assert (picture == colour).all(axis=2).any()
