from retrieval.collection import Collection
from retrieval.store.folder import FOLDERS


def test_counts_equal_the_demo_world(indexed: Collection) -> None:
    status = indexed.status()
    assert status.items == {"audio": 6, "image": 24, "video": 3}
    assert (status.removed, status.failures) == (0, 0)
    assert status.bytes == sum(
        path.stat().st_size
        for folder in set(FOLDERS) - {"manifests"}
        for path in (indexed.root / folder).rglob("*")
        if path.is_file()
    )
    texts = [row for batch in indexed.snapshot.texts() for row in batch.to_pylist()]
    items = [row for batch in indexed.snapshot.iter_items() for row in batch.to_pylist()]
    captions = [text["text"] for text in texts if text["source"] == "caption"]
    assert captions == [item["caption"] for item in items]
    assert status.texts == {"caption": 33, "name": 33}
    (part,) = status.text_index
    line = f"texts       66 (33 caption, 33 name), index parts of generation {part}"
    assert line in status.text().splitlines()
    rows = {
        space.name: sum(len(b.item_ids) for b in indexed.snapshot.iter_segments(space.name))
        for space in status.spaces
    }
    assert {space.name: space.rows for space in status.spaces} == rows
    for space in status.spaces:
        assert f"{space.name}: {space.rows} rows of {space.dim} numbers" in status.text()


def test_removed_items_are_counted_while_shards_or_the_index_hold_them(copied: Collection) -> None:
    # With over a fifth removed, the index of texts is written again, too.
    assert copied.remove(ids=list(range(9))) == 9
    status = copied.status()
    assert sum(status.items.values()) == 24
    assert "removed     9, masked until their parts are written again" in status.text()
    copied.index("exact")
    copied.compact()
    assert copied.status().removed == 0
    assert "removed     0" in copied.status().text().splitlines()
    assert sum(copied.status().items.values()) == 24
