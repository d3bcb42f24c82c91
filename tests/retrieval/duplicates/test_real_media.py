"""Realistic copies: saved again, scaled down, cut from a longer file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.duplicates.groups import DuplicateGroup, DuplicateItem
from retrieval.embedding.options import EmbedOptions
from retrieval.media.video.reader import sample_frames
from retrieval.types import Medium
from support.media_files import write_video


def of(groups: list[DuplicateGroup], path: Path) -> DuplicateItem:
    return next(item for group in groups for item in group.items if item.uri == str(path))


def test_a_smaller_jpeg_and_a_clip(copied: Collection, world: World, tmp_path: Path) -> None:
    picture = world.folder / world.of(Medium.IMAGE)[3].file
    with Image.open(picture) as image:
        small = image.convert("RGB").resize((112, 112))
    small.save(tmp_path / "small.jpg", quality=85)
    film = world.folder / world.of(Medium.VIDEO)[0].file
    frames = [np.asarray(frame) for second, frame in sample_frames(film, 10.0) if 5 <= second < 13]
    write_video(tmp_path / "clip.mp4", frames, rate=10)
    new = [tmp_path / "small.jpg", tmp_path / "clip.mp4"]
    copied.add(*new, options=EmbedOptions(device="cpu", workers=0))

    groups = copied.duplicates(0.95)
    ids = {uri: file.item_id for uri, file in copied.snapshot.known_files().items()}
    assert of(groups, new[0]).matches[0].item_id == ids[str(picture)]
    match = of(groups, new[1]).matches[0]
    assert match.item_id == ids[str(film)]
    assert match.share > 0.7
    starts = [one.other_start_seconds - one.start_seconds for one in match.overlaps]
    assert starts[0] == pytest.approx(5.0, abs=2.0)
