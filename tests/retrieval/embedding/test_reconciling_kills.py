"""A kill while renames, new metadata, removals and new files are published loses nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from support import embed_process

TESTS = Path(__file__).resolve().parents[2]
OPTIONS = EmbedOptions(models=("toy:toy",), workers=0, prune=True)
KILLS = 5

KILLED = """
import sys
sys.path[:0] = sys.argv[4:]
from pathlib import Path
import retrieval.store.pending
from support.flaky_system import FlakySystem, use_system
from retrieval.embedding.run import embed
from support import embed_process
from test_reconciling_kills import OPTIONS


embed_process.use_toys(setattr)
retrieval.store.pending.SHARD_SECONDS = 0.0  # as many generations as can be
system = FlakySystem(kill_at=int(sys.argv[3]))
use_system(system)
embed([sys.argv[1]], Path(sys.argv[2]), OPTIONS)
print(system.steps)
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_process.use_toys(monkeypatch.setattr)


def run_killed(media: Path, root: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    folders = [TESTS, TESTS / "retrieval/embedding", TESTS / "retrieval/store"]
    command = [sys.executable, "-c", KILLED, media, root, kill_at, *folders]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def save(path: Path, shade: int) -> None:
    Image.new("RGB", (20, 20), (shade, 0, 255 - shade)).save(path)


def content(root: Path) -> dict[str, tuple[object, ...]]:
    """By uri: the id and the metadata of every item, and its vector."""
    snapshot = Snapshot.open(root)
    (space,) = snapshot.spaces
    return {
        row["uri"]: (
            row["caption"],
            row.get("year"),
            snapshot.item_segments(space.name, row["item_id"]).vectors.tobytes(),
        )
        for batch in snapshot.iter_items()
        for row in batch.to_pylist()
    }


def test_field_19_sigkill_at_seeded_moments_ends_in_the_same_collection(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    for number in range(12):
        save(media / f"{number:02}.png", 20 * number)
    (media / "list.csv").write_text("path,year\n" + "".join(f"{n:02}.png,1\n" for n in range(12)))
    embed([media, media / "list.csv"], tmp_path / "before", OPTIONS)
    kept = Snapshot.open(tmp_path / "before").known_files()
    # Renamed, given captions, deleted, changed, new.
    for number in range(4):
        (media / f"{number:02}.png").rename(media / f"new-{number}.png")
        (media / f"{4 + number:02}.txt").write_text(f"caption {number}")
    (media / "08.png").unlink()
    save(media / "09.png", 5)
    save(media / "12.png", 250)
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    whole = run_killed(media, tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    want = content(tmp_path / "whole")
    assert len(want) == 12
    for moment in random.Random(0).sample(range(1, steps + 1), KILLS):
        root = tmp_path / "killed"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "before", root)
        killed = run_killed(media, root, moment)
        assert killed.returncode == -9, killed.stderr
        assert verify(root) == []
        embed([media], root, OPTIONS)
        assert content(root) == want
        assert verify(root) == []
        known = Snapshot.open(root).known_files()
        for number in range(4):
            renamed = known[str(media / f"new-{number}.png")].item_id
            assert renamed == kept[str(media / f"{number:02}.png")].item_id
