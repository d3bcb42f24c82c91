from __future__ import annotations

from pathlib import Path

import pytest
from store_samples import PICTURES

from retrieval.errors import CollectionNotFoundError
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify


def test_an_intact_collection_has_no_problems(collection: Snapshot) -> None:
    assert verify(collection.root) == []


def test_every_problem_is_one_line_that_names_its_file(collection: Snapshot) -> None:
    root = collection.root
    names = ["items/00000.parquet", f"frames/{PICTURES.name}/00001.parquet"]
    (root / names[0]).unlink()
    whole = (root / names[1]).read_bytes()
    (root / names[1]).write_bytes(whole[:-1] + b"!")
    problems = verify(root)
    assert len(problems) == 2
    assert "items/00000.parquet, which the manifest lists, cannot be opened: No such" in problems[0]
    assert f"{names[1]} is damaged: its sha256 differs from the manifest" in problems[1]
    assert not any("\n" in problem for problem in problems)


def test_verifying_another_folder_fails(root: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        verify(root)
