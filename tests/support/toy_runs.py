"""Pictures for runs of `embed` with toy encoders, and what a run left, in a form to compare."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from retrieval.embedding.options import EmbedReport
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.types import Scalar

COLOURS = ("red", "green", "blue", "yellow")


def pictures(folder: Path, *colours: str) -> Path:
    """Make a folder with COLOUR.png of every colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        Image.new("RGB", (20, 20), colour).save(folder / f"{colour}.png")
    return folder


def items(tmp_path: Path) -> dict[str, dict[str, Scalar]]:
    """The rows of the living items, by the path below the test's folder."""
    rows = [
        row for batch in Snapshot.open(tmp_path / "c").iter_items() for row in batch.to_pylist()
    ]
    assert verify(tmp_path / "c") == []
    return {str(row["uri"]).removeprefix(f"{tmp_path}/"): row for row in rows}


def ids(tmp_path: Path) -> dict[str, object]:
    """The ids of the living items, by the same path."""
    return {name: row["item_id"] for name, row in items(tmp_path).items()}


def counts(report: EmbedReport) -> dict[str, int]:
    """The numbers of a report that are not 0."""
    names = (
        "unchanged", "renamed", "updated", "other_paths", "gone", "pruned", "failed", "replaced",
        "without_encoder", "completed",
    )  # fmt: skip
    found = {name: getattr(report, name) for name in names} | {"added": sum(report.added.values())}
    return {name: number for name, number in found.items() if number}


def current(tmp_path: Path) -> bytes:
    """The content of `CURRENT`: the same as long as nothing is published."""
    return (tmp_path / "c/CURRENT").read_bytes()
