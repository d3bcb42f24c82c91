from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from retrieval.types import Hit, Medium
from retrieval.zero_shot.illustration import Illustration
from retrieval.zero_shot.storyboard import write_storyboard


@pytest.fixture
def picture(tmp_path: Path) -> Hit:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a b.png")
    return Hit(1, 0.5, 0, str(tmp_path / "a b.png"), Medium.IMAGE, Medium.IMAGE, None, None, "s",
               likely=True)  # fmt: skip


def test_sentences_are_text_only_and_videos_start_at_the_frame(
    tmp_path: Path, picture: Hit
) -> None:
    video = replace(picture, rank=2, uri=str(tmp_path / "gone.mp4"), modality=Medium.VIDEO,
                    medium=Medium.VIDEO, start_seconds=12.5, end_seconds=14.0)  # fmt: skip
    illustrations = [
        Illustration("<script>alert(1)</script>", picture, (0,)),
        Illustration("Stir & wait.", video, (1,)),
    ]
    write_storyboard(tmp_path / "page.html", illustrations, title="Soup & <bread>")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<article") == 2
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Stir &amp; wait." in page
    assert "<title>Soup &amp; &lt;bread&gt;</title>" in page
    assert "default-src 'none'" in page
    assert 'src="./gone.mp4#t=12.5,14.0"' in page
    assert "12.5 s" in page
    assert page.count("data:image/jpeg;base64,") == 2
