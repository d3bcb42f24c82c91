from pathlib import Path

import pytest

from benchmarks.speed import ingest, ingest_commands
from retrieval.store.reader import Snapshot

pytestmark = pytest.mark.long


def test_imports_and_commands_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "TURNS", 1)
    results = ingest.run(folder=tmp_path, scale=0.004)
    found = {(each.task, each.metric): each for each in results}
    assert len(found) == len(results)
    assert {each.task for each in results} == {
        *(f"import 1,000 × 512 of {name}" for name in ingest.SOURCES),
        "1,000 images of 512-d vectors",
        "compact 1,000 images of 512-d vectors",
        "export 1,000 images of 512-d vectors",
        *(f"{name}, 4,000 items of 64-d vectors" for name in ingest_commands.COMMANDS),
        "known files of 4,000 items, compared with a dict",
    }
    over = "time ÷ that of pyarrow writing the same rows from memory"
    assert found["import 1,000 × 512 of npy", over].goal == 2
    per_image = "µs of processor time of the writer per image"
    assert found["1,000 images of 512-d vectors", per_image].goal == 20
    seconds = [each.value for each in results if each.metric == "processor seconds"]
    assert len(seconds) == len(ingest_commands.COMMANDS) + 1
    assert all(value is not None and value > 0 for value in seconds)
    for name in ingest.SOURCES:
        snapshot = Snapshot.open(tmp_path / f"from-{name}")
        rows = [row for batch in snapshot.iter_items() for row in batch.to_pylist()]
        assert [row["uri"] for row in rows[:2]] == [
            "/archive/00/0000000.jpg", "/archive/01/0000001.jpg",
        ]  # fmt: skip
        assert (len(rows), rows[-1]["place"], rows[-1]["mtime"]) == (
            1_000,
            "place 499",
            1.7e9 + 999,
        )
    assert Snapshot.open(tmp_path / "million").manifest.next_item_id == 4_000
