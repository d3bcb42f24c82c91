from pathlib import Path

from benchmarks.datasets.stored_texts import store_texts
from retrieval.types import TextSource, TimedText
from support.texts import caption, collection_of, cue, name


def stored(root: Path) -> list[tuple[int, str, float | None, str]]:
    from retrieval.collection import Collection

    return [
        (row["item_id"], row["source"], row["start_seconds"], row["text"])
        for batch in Collection.open(root).snapshot.texts()
        for row in batch.to_pylist()
    ]


def test_declared_texts_replace_all_others(tmp_path: Path) -> None:
    collection = collection_of(tmp_path / "c", [name("a name")], [cue(0.0, 1.5, "hello")], [])
    uris = {file.item_id: uri for uri, file in collection.snapshot.known_files().items()}
    texts = {
        uris[1]: [cue(2.0, 3.5, "second"), cue(0.0, 1.5, "hello"), caption("whole")],
        uris[2]: [TimedText(TextSource.TAG, "jazz", language="en")],
        "absent": [caption("nobody")],
    }
    assert store_texts(collection.root, texts) == 3
    assert stored(collection.root) == [
        (1, "caption", None, "whole"),
        (1, "transcript", 0.0, "hello"),
        (1, "transcript", 2.0, "second"),
        (2, "tag", None, "jazz"),
    ]


def test_equal_texts_are_not_stored_again(tmp_path: Path) -> None:
    collection = collection_of(tmp_path / "c", [cue(0.1, 1.7, "hello"), name("a name")], [])
    (uri, *_) = collection.snapshot.known_files()
    generation = collection.snapshot.manifest.generation
    assert store_texts(collection.root, {uri: [name("a name"), cue(0.1, 1.7, "hello")]}) == 0
    collection.refresh()
    assert collection.snapshot.manifest.generation == generation
