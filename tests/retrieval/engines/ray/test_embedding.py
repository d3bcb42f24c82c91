"""The coordinator, with workers in this process that can be made to end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed, source_lister
from retrieval.embedding.unit_run import embed_unit
from retrieval.embedding.units import GroupLimits
from retrieval.engines.ray.embedding import ClusterRun, append_leftovers
from retrieval.engines.ray.parts import collection_roots, listed_part, part_of
from retrieval.engines.ray.pool import Lost, Outcome, PoolSize, Task
from retrieval.engines.ray.staging import Staging
from retrieval.errors import CollectionError
from retrieval.media.sources.listing import Listing
from retrieval.progress import no_progress
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Space
from support.collection_rows import rows_by_uri
from support.media_files import picture_bytes, write_tar
from support.toy_runs import COLOURS, pictures

OPTIONS = EmbedOptions(("toy:toy",), workers=0)
LIMITS = GroupLimits(min_work=2.0, max_work=3.0)


@dataclass
class LocalPool:
    """Embeds units here, the last one first.

    Attributes:
        poison: Names of files that end their worker before it embeds them.
        node_dies: The number of first attempts whose node ends.
        embedded: The names of the files of each attempt.
    """

    poison: frozenset[str] = frozenset()
    node_dies: int = 0
    size: PoolSize = field(default_factory=lambda: PoolSize(2, 0.0, 1))
    spaces: tuple[Space, ...] = ()
    embedded: list[list[str]] = field(default_factory=list)

    def run(
        self, next_task: Callable[[], Task | None], tick: Callable[[int], None]
    ) -> Iterator[Outcome]:
        while tasks := list(iter(next_task, None)):
            for task in reversed(tasks):
                names = [os.path.basename(source.path) for source in task.unit.sources]
                self.embedded.append(names)
                if self.node_dies:
                    self.node_dies -= 1
                    yield task, Lost("its node ended", node_died=True)
                    continue
                poison = [n for n, name in enumerate(names) if name in self.poison]
                unit = task.unit
                if poison:
                    before = unit.sources[: poison[0]]
                    unit = type(unit)(before, unit.known, unit.bases, unit.spaces, unit.columns)
                result = embed_unit(unit, task.folder, OPTIONS)
                yield task, Lost("it crashed", node_died=False) if poison else result


@pytest.fixture
def run_on(tmp_path: Path, encoded: list[int]) -> Callable[..., EmbedReport]:
    """Embeds sources into c by the coordinator and a local pool."""

    def run(*sources: object, pool: LocalPool | None = None, root: str = "c") -> EmbedReport:
        report = EmbedReport()
        with CollectionWriter.open(tmp_path / root, create=True) as writer:
            staging = Staging(tmp_path / root)
            append_leftovers(writer, staging)
            lister = source_lister([str(source) for source in sources], OPTIONS)
            pool = pool or LocalPool()
            coordinator = ClusterRun(writer, staging, OPTIONS, pool, report, no_progress)  # type: ignore[arg-type]
            coordinator.embed(lister, LIMITS)
            staging.close()
        assert not (tmp_path / root / ".units").exists()
        assert verify(tmp_path / root) == []
        return report

    return run


def media_of(tmp_path: Path) -> Path:
    """Nine pictures with captions, one broken, and a tar of three."""
    media = pictures(tmp_path / "media", *COLOURS)
    for number in range(4):
        (media / f"photo-{number}.jpg").write_bytes(picture_bytes(seed=number))
    (media / "photo-1.txt").write_text("a caption")
    (media / "broken.png").write_bytes(b"no picture")
    write_tar(media / "more.tar", {f"{n}.jpg": picture_bytes(seed=10 + n) for n in range(3)})
    return media


def test_the_result_equals_that_of_one_machine(
    tmp_path: Path, run_on: Callable[..., EmbedReport]
) -> None:
    media = media_of(tmp_path)
    expected = embed([media], tmp_path / "whole", OPTIONS)
    pool = LocalPool()
    report = run_on(media, pool=pool)
    assert len(pool.embedded) > 3
    assert rows_by_uri(tmp_path / "c") == rows_by_uri(tmp_path / "whole")
    assert list(rows_by_uri(tmp_path / "c")) == list(rows_by_uri(tmp_path / "whole"))
    failures = Snapshot.open(tmp_path / "c").failures()
    assert failures == Snapshot.open(tmp_path / "whole").failures()
    assert list(failures) == [f"{media}/broken.png"]
    for name in ("added", "failed", "failures", "unchanged", "without_segments", "passed_over"):
        assert getattr(report, name) == getattr(expected, name), name


def test_a_second_run_embeds_new_and_changed_files_only(
    tmp_path: Path, run_on: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    media = media_of(tmp_path)
    run_on(media)
    encoded.clear()
    report = run_on(media)
    assert (encoded, sum(report.added.values()), report.unchanged) == ([], 0, 11)
    os.utime(media / "red.png", (5, 5))
    (media / "green.png").write_bytes((media / "photo-0.jpg").read_bytes())
    write_tar(media / "more.tar", {
        "0.jpg": picture_bytes(seed=10), "1.jpg": picture_bytes(seed=50),
        "3.jpg": picture_bytes(seed=51),
    })  # fmt: skip
    report = run_on(media)
    assert sum(encoded) == 3
    assert (sum(report.added.values()), report.replaced, report.gone) == (3, 2, 1)
    embed([media], tmp_path / "whole", OPTIONS)
    expected = rows_by_uri(tmp_path / "whole")
    found = rows_by_uri(tmp_path / "c")
    assert found.pop(f"{media}/more.tar!2.jpg")
    assert found == expected


def test_units_of_ended_workers_and_nodes_are_embedded_again(
    tmp_path: Path, run_on: Callable[..., EmbedReport], caplog: pytest.LogCaptureFixture
) -> None:
    media = media_of(tmp_path)
    embed([media], tmp_path / "whole", OPTIONS)
    report = run_on(media, pool=LocalPool(node_dies=4))
    assert report.failed == 1
    assert rows_by_uri(tmp_path / "c") == rows_by_uri(tmp_path / "whole")
    assert "a worker ended (its node ended); its" in caplog.text


def test_a_file_that_ends_three_workers_is_a_failure_and_its_neighbours_are_embedded(
    tmp_path: Path, run_on: Callable[..., EmbedReport]
) -> None:
    media = media_of(tmp_path)
    pool = LocalPool(poison=frozenset({"blue.png", "photo-3.jpg"}))
    report = run_on(media, pool=pool)
    embed([media], tmp_path / "whole", OPTIONS)
    expected = rows_by_uri(tmp_path / "whole")
    lost = {f"{media}/{name}" for name in pool.poison}
    assert rows_by_uri(tmp_path / "c") == {
        uri: row for uri, row in expected.items() if uri not in lost
    }
    failures = Snapshot.open(tmp_path / "c").failures()
    assert {uri for uri, failure in failures.items() if failure.stage == "worker"} == lost
    assert failures[f"{media}/blue.png"].reason.startswith("3 workers of the cluster ended while")
    assert report.failed == 3
    assert pool.embedded.count(["blue.png"]) == 3
    # A known failure is not tried again before the file changes.
    pool.embedded.clear()
    assert run_on(media, pool=pool).failed == 3
    assert pool.embedded == [["more.tar"]]


def test_what_a_killed_run_left_is_appended_unless_a_newer_version_is_there(
    tmp_path: Path, run_on: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    media = pictures(tmp_path / "media", "red", "green")
    with CollectionWriter.open(tmp_path / "c", create=True):
        staging = Staging(tmp_path / "c")
        from retrieval.embedding.units import Unit

        sources = tuple(source_lister([str(media)], OPTIONS)(Listing()))
        embed_unit(Unit(sources, bases=(f"{media}/",)), staging.new_folder(), OPTIONS)
        shutil.copytree(tmp_path / "c/.units", tmp_path / "left")
    (tmp_path / "c/.units/empty").mkdir()  # of a run that was killed before it embedded anything
    (tmp_path / "c/.units/empty/token").touch()
    encoded.clear()
    pictures(media, "blue")
    run_on(media)
    assert sum(encoded) == 1
    assert len(rows_by_uri(tmp_path / "c")) == 3
    # The same folder again, as if it had not been deleted: it is older than the collection.
    (media / "red.png").write_bytes((media / "blue.png").read_bytes())
    run_on(media)
    before = rows_by_uri(tmp_path / "c")
    shutil.copytree(tmp_path / "left", tmp_path / "c/.units")
    encoded.clear()
    run_on(media)
    assert encoded == []
    assert rows_by_uri(tmp_path / "c") == before


def test_parts_cover_every_source_once_and_do_not_depend_on_other_files(tmp_path: Path) -> None:
    media = media_of(tmp_path)
    lister = source_lister([str(media)], OPTIONS)
    parts = [[s.uri for s in listed_part(lister, n, 3)(Listing())] for n in range(3)]
    assert sorted(uri for part in parts for uri in part) == sorted(
        source.uri for source in lister(Listing())
    )
    assert [{part_of(uri, 3) for uri in part} for part in parts] == [{0}, {1}, {2}]


def test_collections_of_another_number_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "c"
    assert collection_roots(root, None) == [root]
    roots = collection_roots(root, 2)
    assert [path.name for path in roots] == ["c-00", "c-01"]
    for path in roots:
        path.mkdir()
    assert collection_roots(root, 2) == roots
    for count in (1, 3):
        with pytest.raises(
            CollectionError, match=f"c-00 to c-01 are 2 collections, expected {count}"
        ):
            collection_roots(root, count)
