import hashlib
from pathlib import Path

from retrieval.demo.world import World, WorldSettings, load_world, write_world
from retrieval.types import Medium

SETTINGS = WorldSettings(seed=3, images=6, tunes=2, videos=1, video_seconds=(20.0, 21.0))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".mp4"
    }


def test_the_same_settings_make_the_same_files(tmp_path: Path) -> None:
    first = write_world(tmp_path / "a", SETTINGS)
    second = write_world(tmp_path / "b", SETTINGS)
    assert first.items == second.items
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_world_is_read_back(world: World) -> None:
    assert load_world(world.folder) == world


def test_every_item_is_a_file_with_its_caption(world: World) -> None:
    assert [len(world.of(medium)) for medium in Medium] == [24, 6, 3]
    for item in world.items:
        assert (world.folder / item.file).stat().st_size > 0
        assert item.caption
    for item in world.of(Medium.VIDEO):
        assert item.start_seconds is not None
        assert item.end_seconds is not None
        assert item.duration_seconds is not None
        assert 0 <= item.start_seconds < item.end_seconds <= item.duration_seconds


def test_other_seeds_make_other_worlds(tmp_path: Path, world: World) -> None:
    other = write_world(tmp_path, WorldSettings(seed=8, images=24, tunes=0, videos=0))
    assert {i.caption for i in other.items}.isdisjoint(i.caption for i in world.of(Medium.IMAGE))
