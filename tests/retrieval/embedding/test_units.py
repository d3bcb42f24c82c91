from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed, source_lister
from retrieval.embedding.unit_run import embed_unit
from retrieval.embedding.units import (
    GroupLimits,
    Unit,
    UnitNumber,
    divide,
    groups_of_similar_work,
    header_readers,
    listed_unit,
    source_work,
)
from retrieval.errors import SourceError
from retrieval.media.sources.listing import Listing
from retrieval.media.workers import process
from retrieval.store.merge import merge
from retrieval.store.reader import Snapshot
from retrieval.types import KnownFile, Source, Space
from support.collection_rows import rows_by_uri
from support.media_files import make_tone, sound_bytes
from support.toy_encoder import ToyEncoder
from support.toy_runs import COLOURS, pictures


def source(path: Path, size: int = 0, **fields: object) -> Source:
    path.write_bytes(bytes(size))
    return Source(str(path), str(path), **fields)  # type: ignore[arg-type]


def test_parts_have_similar_work_and_cover_all_sources_once() -> None:
    work = np.random.default_rng(0).uniform(0.5, 3.0, 1000)
    parts = divide(work, 7)
    assert [n for part in parts for n in range(1000)[part]] == list(range(1000))
    shares = [work[part].sum() for part in parts]
    assert max(shares) - min(shares) < 2 * work.max()
    assert divide([1.0, 8.0, 1.0], 2) == [slice(0, 1), slice(1, 3)]
    assert [part.stop - part.start for part in divide([1.0], 3)] == [0, 1, 0]
    assert divide([], 2) == [slice(0, 0), slice(0, 0)]


def test_work_grows_with_bytes_seconds_and_archives(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    tone.write_bytes(sound_bytes(make_tone(30.0)))
    with header_readers() as readers:
        sources = [
            source(tmp_path / "a.jpg", 1_000_000),
            source(tmp_path / "a.tar", 3_000_000, is_tar=True),
            source(tmp_path / "broken.mp4", 2_000_000),
            Source("/no/such.jpg", "/no/such.jpg"),
        ]
        assert [source_work(each, readers) for each in sources] == [1.5, 21.0, 2.0, 1.0]
        expected = 1 + tone.stat().st_size / 2_000_000 + 0.2 * 30
        work = source_work(Source(str(tone), str(tone)), readers)
        assert work == pytest.approx(expected, abs=1e-3)


def test_a_header_that_crashes_its_reader_counts_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = process.WORKER_CODE
    crash = (
        "import os; from retrieval.media import lengths as m; m._length_of = lambda *x: os._exit(1)"
    )
    monkeypatch.setattr(process, "WORKER_CODE", f"{crash}\n{code}")
    films = [source(tmp_path / f"{number}.mp4", 4_000_000) for number in range(2)]
    with header_readers() as readers:
        assert [source_work(film, readers) for film in films] == [3.0, 3.0]


@pytest.mark.parametrize("text", ["3", "0/4", "5/4", "a/b", "-1/4", "1/0", "1/2/3", "¹/4"])
def test_a_wrong_unit_is_one_error(text: str) -> None:
    with pytest.raises(SourceError, match=r"^unit .*such as 3/64$"):
        UnitNumber.parse(text)


def test_units_list_every_source_once_in_order(tmp_path: Path) -> None:
    sources = [source(tmp_path / f"{n}.jpg", 100_000 * (n % 7)) for n in range(50)]
    listed = [
        list(listed_unit(lambda listing: iter(sources), UnitNumber(n, 4))(Listing()))
        for n in range(1, 5)
    ]
    assert [each for part in listed for each in part] == sources
    assert all(9 <= len(part) <= 16 for part in listed)


def test_groups_divide_little_work_evenly_and_much_work_into_limited_ones(tmp_path: Path) -> None:
    sources = [source(tmp_path / f"{n}.jpg") for n in range(100)]
    few = GroupLimits(min_work=10, max_work=1000)
    assert [len(g) for g in groups_of_similar_work(sources, workers=2, limits=few)] == [
        17, 16, 17, 17, 16, 17
    ]  # fmt: skip
    many = GroupLimits(min_work=10, max_work=5, window=40)
    assert [len(g) for g in groups_of_similar_work(sources, workers=2, limits=many)] == [5] * 20
    tiny = GroupLimits(min_work=1000)
    assert [len(g) for g in groups_of_similar_work(sources, workers=2, limits=tiny)] == [100]
    assert list(groups_of_similar_work([], workers=2)) == []


def test_collections_of_all_units_merge_to_that_of_one_run(
    tmp_path: Path, encoded: list[int], run: Callable[..., EmbedReport]
) -> None:
    media = pictures(tmp_path / "media", *COLOURS)
    run(media)
    for number in (1, 2, 3):
        options = EmbedOptions(("toy:toy",), workers=0, unit=UnitNumber(number, 3))
        embed([media], tmp_path / f"part-{number}", options)
    merge([tmp_path / f"part-{number}" for number in (1, 2, 3)], tmp_path / "all")
    assert rows_by_uri(tmp_path / "all") == rows_by_uri(tmp_path / "c")


def test_a_unit_skips_content_that_the_receiving_collection_has(
    tmp_path: Path, encoded: list[int], run: Callable[..., EmbedReport]
) -> None:
    media = pictures(tmp_path / "media", "red", "green", "blue")
    run(media)
    os.utime(media / "red.png", (1, 1))  # touched, with the same content
    pictures(media, "yellow")
    (media / "green.png").write_bytes((media / "yellow.png").read_bytes())
    snapshot = Snapshot.open(tmp_path / "c")
    known = snapshot.known_files()
    names = ("green", "red", "yellow")
    sources = tuple(source_lister([str(media / f"{n}.png") for n in names], OPTIONS)(Listing()))
    encoded.clear()
    unit = Unit(sources, known, (f"{media}/",), snapshot.spaces, {})
    result = embed_unit(unit, tmp_path / "unit", OPTIONS)
    assert [each.uri for each in result.unchanged] == [f"{media}/red.png"]
    assert result.unchanged[0].info is not None
    assert result.unchanged[0].info.mtime == 1.0
    assert sum(encoded) == 2
    assert list(rows_by_uri(tmp_path / "unit")) == [f"{media}/green.png", f"{media}/yellow.png"]
    again = embed_unit(unit, tmp_path / "unit", OPTIONS)
    assert (sum(encoded), again.report.added) == (2, dict.fromkeys(again.report.added, 0))


OPTIONS = EmbedOptions(("toy:toy",), workers=0)


def test_a_unit_uses_the_spaces_and_columns_of_the_receiving_collection(
    tmp_path: Path, encoded: list[int]
) -> None:
    from retrieval.columns.types import ColumnType
    from retrieval.encoders.spaces import make_space
    from retrieval.types import Sampling

    space: Space = make_space(ToyEncoder(), sampling=Sampling(5.0, 1.0), windows=None)
    media = pictures(tmp_path / "media", "red")
    sources = tuple(source_lister([str(media)], OPTIONS)(Listing()))
    known: dict[str, KnownFile] = {}
    unit = Unit(sources, known, (), (space,), {"Folder": ColumnType.STRING})
    embed_unit(unit, tmp_path / "unit", EmbedOptions(workers=0))
    snapshot = Snapshot.open(tmp_path / "unit")
    assert snapshot.spaces == (space,)
    # The column of the user differs in case, so that the fact `folder` is not stored.
    assert snapshot.user_columns().names == ("Folder",)
