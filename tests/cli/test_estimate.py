import json
from pathlib import Path

from retrieval.types import Medium
from support.commands import run
from support.media_files import picture_bytes
from support.vector_items import directions, item_of, write_items


def test_a_folder(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture_bytes(seed=number))
    said = run("estimate", tmp_path, "--model", "tiny", "--no-time")
    assert "items       3 (3 image" in said
    assert "tiny-image: 3 segments, 0 frames of 256 numbers" in said
    assert "OPQ64,IVF2,PQ64x4fs" in said
    document = json.loads(
        run("estimate", tmp_path, "--model", "tiny", "--no-time", "--format", "json")
    )
    assert document["items"] == {"image": 3, "audio": 0, "video": 0}
    assert document["embed_seconds"] is None
    assert document["spaces"][0]["indexes"][0]["factory"] == "exact"


def test_a_collection(tmp_path: Path) -> None:
    items = [item_of(f"{n}.jpg", Medium.IMAGE, directions(1, n)) for n in range(4)]
    write_items(tmp_path / "c", items)
    said = run("estimate", tmp_path / "c")
    assert "items       4 (4 image)" in said
    assert "toy:vectors: 4 segments, 0 frames of 32 numbers" in said
