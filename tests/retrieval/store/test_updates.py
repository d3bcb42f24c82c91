"""Columns of items that change while their rows stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from store_samples import PICTURES, content, grow, item, leftovers

from retrieval.errors import StorageError
from retrieval.search.items import ItemTable
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.text_rows import TextUpdate
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, MediaInfo, Scalar, TextSource, TimedText
from support.flaky_system import FlakySystem, use_system

ROWS = ("segments/", "frames/")
PROCESS = [sys.executable, str(Path(__file__).with_name("writer_process.py"))]


def info(**values: object) -> MediaInfo:
    own = {name: values.pop(name) for name in ("uri", "caption", "mtime") if name in values}
    base = item(0).info
    return MediaInfo(
        **{"uri": base.uri, "modality": base.modality, "bytes": 7, "mtime": 7.0, "sha256": ""}
        | own,
        columns=values,  # type: ignore[arg-type]
    )


def update(root: Path, item_id: int, **values: object) -> None:
    with CollectionWriter.open(root) as writer:
        writer.update(item_id, info(**values), values.keys())


def table(root: Path) -> list[dict[str, Scalar]]:
    return [row for batch in Snapshot.open(root).iter_items() for row in batch.to_pylist()]


def test_field_18_an_update_changes_the_columns_named_and_no_row(collection: Snapshot) -> None:
    root = collection.root
    before = table(root)
    update(root, 7, caption="an owl", year=2021, number=None)
    after = table(root)
    assert after[7] == before[7] | {"caption": "an owl", "year": 2021, "number": None}
    others = [row | {"year": None} for row in before if row["item_id"] != 7]
    assert [row for row in after if row["item_id"] != 7] == others
    manifest = Snapshot.open(root).manifest
    assert [file for file in manifest.files if file.path.startswith(ROWS)] == [
        file for file in collection.manifest.files if file.path.startswith(ROWS)
    ]
    assert [file.path for file in manifest.files_in("items")] == [
        "items/00000.parquet", "items/00002.parquet",
    ]  # fmt: skip
    assert verify(root) == []


def test_field_19_an_update_of_the_uri_keeps_the_id(collection: Snapshot) -> None:
    update(collection.root, 0, uri="/elsewhere/one")
    known = Snapshot.open(collection.root).known_files()
    assert known["/elsewhere/one"] == collection.known_files()["/media/0000"]
    assert "/media/0000" not in known


def test_two_updates_of_one_item_are_combined(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.update(3, info(caption="first", year=1, place="here"), {"caption", "year", "place"})
        writer.update(3, info(caption="second", year=2, uri="/new"), {"year", "uri"})
    row = table(collection.root)[3]
    assert (row["caption"], row["year"], row["place"]) == ("first", 2, "here")
    assert (row["uri"], row["mtime"]) == ("/new", item(3).info.mtime)


def test_updating_a_missing_or_removed_item_fails(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([3])
        writer.publish()
        for item_id in (3, 12):
            with pytest.raises(ValueError, match=f"no item {item_id} in"):
                writer.update(item_id, info(caption="x"), {"caption"})


def test_field_18_an_index_shows_new_columns_before_it_is_built_again(
    collection: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index holds a copy of the columns: ids that changed since are listed beside it."""
    root = collection.root
    update(root, 2, caption="two")
    update(root, 9, caption="nine")
    snapshot = Snapshot.open(root)
    assert [file.path for file in snapshot.manifest.files_in("updated")] == [
        "updated/000004.parquet", "updated/000005.parquet",
    ]  # fmt: skip
    assert snapshot.updated_ids(3).tolist() == [2, 9]
    assert snapshot.updated_ids(4).tolist() == [9]
    older = {row["item_id"]: row for batch in collection.iter_items() for row in batch.to_pylist()}
    monkeypatch.setattr("retrieval.search.items.open_arrow", lambda path: as_indexed(collection))
    items = ItemTable(snapshot)
    captions = [metadata.get("caption") for _, _, metadata in items.rows(range(12))]
    assert captions == [{2: "two", 9: "nine"}.get(n) for n in range(12)]
    assert all(older[n]["uri"] == items.rows([n])[0][0] for n in range(12))


def as_indexed(snapshot: Snapshot):
    import pyarrow as pa

    table = pa.Table.from_batches(snapshot.iter_items())
    place = table.schema.get_field_index("modality")
    return table.set_column(
        place, "modality", table.column(place).cast(pa.dictionary(pa.int8(), pa.string()))
    )


def test_compaction_keeps_updated_ids_while_an_older_index_exists(collection: Snapshot) -> None:
    root = collection.root
    update(root, 2, caption="two")
    update(root, 9, caption="nine")
    before = content(root)
    compact(root)
    assert Snapshot.open(root).updated_ids(3).tolist() == [2, 9]
    assert len(Snapshot.open(root).manifest.files_in("updated")) == 1
    assert content(root) == before
    with CollectionWriter.open(root) as writer, writer.index_folder(PICTURES.name) as folder:
        (folder / "card.json").write_bytes(b"{}")
    compact(root)
    assert Snapshot.open(root).manifest.files_in("updated") == ()
    assert content(root) == before
    assert verify(root) == []


def test_updated_ids_are_not_listed_without_an_index(root: Path) -> None:
    grow(root, 3, publish_every=3)
    update(root, 1, caption="one")
    assert Snapshot.open(root).manifest.files_in("updated") == ()


def test_only_resolved_failures_are_dropped(root: Path) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        for name in "abc":
            writer.add_failure(Failure(name, "open", f"no {name}"))
    with CollectionWriter.open(root) as writer:
        writer.resolve_failure("b")
        writer.resolve_failure("never failed")
        writer.add_failure(Failure("d", "open", "no d"))
    assert list(Snapshot.open(root).failures()) == ["a", "c", "d"]
    assert len(Snapshot.open(root).manifest.files_in("failures")) == 1
    before = (root / "CURRENT").read_bytes()
    with CollectionWriter.open(root) as writer:
        writer.resolve_failure("b")
    assert (root / "CURRENT").read_bytes() == before
    with CollectionWriter.open(root) as writer:
        for name in "acd":
            writer.resolve_failure(name)
    assert Snapshot.open(root).manifest.files_in("failures") == ()
    assert verify(root) == []


def change_everything(root: Path) -> None:
    """A rename, new columns, a removal, a failure that is over, and a new item, all at once."""
    with CollectionWriter.open(root) as writer:
        writer.update(1, info(uri="/new/1", caption="one"), {"uri", "caption"})
        writer.update(8, info(year=8), {"year"})
        cue = TimedText(TextSource.TRANSCRIPT, "new", 0.0, 1.0)
        writer.update_texts(5, TextUpdate((cue,), frozenset({TextSource.TRANSCRIPT}), ()))
        writer.remove([4])
        writer.resolve_failure("gone")
        writer.add(item(12))


def sample(root: Path) -> None:
    grow(root, 12, publish_every=6, index=True)
    with CollectionWriter.open(root) as writer:
        writer.add_failure(Failure("gone", "open", "no such file"))


@pytest.mark.long
def test_field_19_every_failing_step_keeps_the_generation_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "c"
    sample(root)
    before = content(root)
    current = (root / "CURRENT").read_bytes()
    step = 0
    while (root / "CURRENT").read_bytes() == current:
        step += 1
        with monkeypatch.context() as patched:
            use_system(FlakySystem(fail_at=step), patched.setattr)
            try:
                change_everything(root)
            except StorageError:
                assert verify(root) == []  # It compares the digests of all files.
                # The step after the last rename leaves the new generation.
                if step % 10 == 0 and (root / "CURRENT").read_bytes() == current:
                    assert content(root) == before
    assert step > 60
    sample(tmp_path / "whole")
    change_everything(tmp_path / "whole")
    assert content(root) == content(tmp_path / "whole")
    assert verify(root) == []


@pytest.mark.parametrize("name", ["items/00003.parquet", "texts/00002.parquet", "CURRENT"])
def test_field_19_a_kill_keeps_the_generation_before(tmp_path: Path, name: str) -> None:
    root = tmp_path / "c"
    sample(root)
    before = content(root)
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from support.flaky_system import FlakySystem, use_system\n"
        "from test_updates import change_everything; from pathlib import Path\n"
        "use_system(FlakySystem(kill_before_renaming_to=sys.argv[2]))\n"
        "change_everything(Path(sys.argv[1]))"
    )
    here = Path(__file__).parent
    command = [
        sys.executable,
        "-c",
        code,
        str(root),
        name,
        str(here),
        str(here.parents[2] / "tests"),
    ]
    assert subprocess.run(command, check=False).returncode == -9
    assert content(root) == before
    assert verify(root) == []
    change_everything(root)
    sample(tmp_path / "whole")
    change_everything(tmp_path / "whole")
    assert content(root) == content(tmp_path / "whole")
    compact(root)
    compact(root)
    assert leftovers(root) == []
