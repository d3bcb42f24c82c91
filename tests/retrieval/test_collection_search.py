"""Rows 32, 42, 46 and 61: how a collection is asked from Python, and what it answers with."""

import json
import pickle
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import FilterError, MissingExtraError, QueryError
from retrieval.search.arguments import item_ids_of, read_ids, targets_of
from retrieval.search.hits import Hits
from retrieval.search.query import Query, Term
from retrieval.targets import Target
from retrieval.types import Medium
from support.commands import run
from support.indexed_toys import ENCODER, PICTURES, SOUND, sixty_items
from support.toy_encoder import ToyEncoder

LIVING = 58
"""Of sixty items; ids 0 and 31 are removed. Even ones are pictures, odd ones videos."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    collection = Collection(sixty_items(tmp_path_factory.mktemp("toys") / "c"), device="cpu")
    collection._encoders = {PICTURES.name: ENCODER, SOUND.name: ToyEncoder.music()}
    return collection


def ids(hits: Hits) -> list[int]:
    return [hit.item_id for hit in hits]


# ---------------------------------------------------------------- what is clearly meant


def test_field_32_a_single_target_name_is_accepted(toys: Collection) -> None:
    pictures = toys.search("red", to="image", k=99)
    assert {hit.modality for hit in pictures} == {Medium.IMAGE}
    assert pictures == toys.search("red", to=["image"], k=99)
    assert pictures == toys.search("red", to=Target.IMAGE, k=99)
    assert toys.search("red", to=None) == toys.search("red") == toys.search("red", to=())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "picture"}, "unknown target 'picture'; known: image, music, video, moment"),
        ({"to": ["image", 3]}, "unknown target 3"),
        ({"to": 3}, "`to` must be one or several of"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": -1}, "k must be at least 1"),
        ({"k": 2.5}, "k must be a whole number, got 2.5"),
        ({"k": "3"}, "k must be a whole number"),
        ({"k": None}, "k must be a whole number"),
        ({"offset": -1}, "offset must be at least 0, got -1"),
        ({"rerank_top": 0}, "rerank_top must be at least 1, got 0"),
        ({"min_score": float("nan")}, "min_score must be a finite number"),
        ({"min_score": "0.5"}, "min_score must be a finite number"),
        ({"ids": ["a"]}, "ids must be whole numbers"),
        ({"ids": [1.5]}, "ids must be whole numbers"),
        ({"ids": [[1]]}, "ids must be whole numbers"),
        ({"like": 3}, "give one of a query, the id of an item to search like"),
    ],
)
def test_field_32_other_arguments_are_explained(
    toys: Collection, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        toys.answer("red", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [3, 2.5, ["a"], b"a", object()])
def test_field_32_other_queries_are_explained(toys: Collection, query: object) -> None:
    with pytest.raises(QueryError, match=f"a query must be .*got {type(query).__name__}"):
        toys.search(query)  # type: ignore[arg-type]


def test_field_32_a_missing_query_is_explained(toys: Collection) -> None:
    with pytest.raises(QueryError, match="give one of a query, the id of an item to search like"):
        toys.search(None)


def test_field_32_a_path_is_that_file(toys: Collection, tmp_path: Path) -> None:
    path = tmp_path / 'a "red" + one.png'
    Image.new("RGB", (20, 20), "red").save(path)
    by_path = toys.search(path, k=5)
    assert by_path == toys.search(Query((Term(path=str(path)),)), k=5)
    assert ids(by_path) == ids(toys.search(Image.open(path), k=5))
    with pytest.raises(QueryError, match="no such file"):
        toys.search(tmp_path / "gone.png")


def test_field_32_a_single_model_name_is_accepted() -> None:
    assert EmbedOptions(models="tiny").models == ("tiny",)  # type: ignore[arg-type]
    assert EmbedOptions(models=("tiny",)).models == ("tiny",)


def test_field_32_a_single_name_or_id_is_accepted(toys: Collection) -> None:
    assert toys.answer("red", spaces=PICTURES.name).hits == toys.search("red")
    assert ids(toys.search("red", ids=5)) == [5]  # type: ignore[arg-type]


def test_unusual_targets_and_ids() -> None:
    assert targets_of({"video"}) == [Target.VIDEO]
    assert item_ids_of(np.array([3, 1], np.uint8)).tolist() == [3, 1]
    assert item_ids_of([]).tolist() == []


# ---------------------------------------------------------------- pictures and items as queries


def test_field_46_pictures_of_every_kind_are_one_query(toys: Collection) -> None:
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 255
    want = toys.search(Image.fromarray(red), k=8)
    for same in (
        red,
        np.dstack([red, np.full((20, 30), 255, np.uint8)]),
        red[:, ::-1],  # not contiguous
        Image.fromarray(red).convert("RGBA"),
        Image.fromarray(red).convert("P", palette=Image.Palette.ADAPTIVE),
    ):
        found = toys.search(same, k=8)
        assert ids(found) == ids(want)
        assert [hit.score for hit in found] == pytest.approx([h.score for h in want], abs=2e-3)
    vector = ENCODER.encode_images(np.array(Image.fromarray(red).resize((16, 16)))[None])[0]
    best = max(
        float((toys.snapshot.item_segments(PICTURES.name, i).vectors @ vector).max())
        for i in range(60)
        if i not in (0, 31)
    )
    assert want[0].score == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((3, 40, 50), np.uint8),
        np.zeros(32, np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 2, 2, 3), np.uint8),
    ],
)
def test_field_46_other_arrays_are_explained(toys: Collection, array: np.ndarray) -> None:
    with pytest.raises(QueryError, match="array"):
        toys.search(array)


def test_field_46_like_an_item_is_its_vectors_without_itself(toys: Collection) -> None:
    vector = toys.snapshot.item_segments(PICTURES.name, 4).vectors[0]
    scores = {
        i: float((toys.snapshot.item_segments(PICTURES.name, i).vectors @ vector).max())
        for i in range(60)
        if i not in (0, 4, 31)
    }
    hits = toys.search(like=4, k=99)
    assert ids(hits) == sorted(scores, key=lambda i: -scores[i])
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values())[::-1], abs=2e-3)
    videos = toys.search(like=5, to="video", k=99)
    assert 5 not in ids(videos)
    assert len(videos) == 28


@pytest.mark.parametrize(
    ("item_id", "message"),
    [(31, "no item has the id 31"), (10**6, "no item has the id 1000000"), (-1, "no item"),
     ("4", "a whole number, got '4'"), (4.0, "a whole number")],
)  # fmt: skip
def test_field_46_like_a_missing_item_is_explained(
    toys: Collection, item_id: object, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        toys.search(like=item_id)  # type: ignore[arg-type]


def test_field_20_a_member_of_a_tar_is_a_query(toys: Collection, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "a blue one.png")
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        tar.add(tmp_path / "a blue one.png", "in/a blue one.png")
    file = toys.search(f"@{tmp_path}/a blue one.png")
    member = toys.search(f"@{tmp_path}/p.tar!in/a blue one.png")
    assert [(h.item_id, h.score) for h in member] == [(h.item_id, h.score) for h in file]
    for missing, message in (
        ("p.tar!gone.png", "no member gone.png"),
        ("q.tar!x", "no such archive"),
    ):
        with pytest.raises(QueryError, match=message):
            toys.search(f'@"{tmp_path}/{missing}"')


# ---------------------------------------------------------------- restrictions and pages


def test_field_61_pages_are_parts_of_the_whole_answer(toys: Collection) -> None:
    whole = toys.search("red", k=LIVING)
    assert len(whole) == LIVING
    pages = [hit for start in range(0, 60, 7) for hit in toys.search("red", k=7, offset=start)]
    assert tuple(pages) == whole
    assert [hit.rank for hit in pages] == list(range(1, LIVING + 1))
    assert toys.search("red", offset=LIVING) == ()


def test_field_61_ids_restrict_exactly(toys: Collection) -> None:
    whole = toys.search("red", k=LIVING)
    for chosen in ([5, 9, 31, 10**9, -4], range(0, 60, 3), np.array([2, 2, 2]), []):
        want = [item_id for item_id in ids(whole) if item_id in set(np.asarray(chosen).tolist())]
        assert ids(toys.search("red", k=LIVING, ids=chosen)) == want
    both = toys.search("red", k=LIVING, ids=range(20), where="number > 10", to="video")
    assert ids(both) == [i for i in ids(whole) if 10 < i < 20 and i % 2]


def test_field_61_a_minimum_score_drops_the_rest(toys: Collection) -> None:
    whole = toys.search("red", k=LIVING)
    limit = whole[20].score
    assert toys.search("red", k=LIVING, min_score=limit) == whole[:21]
    assert toys.search("red", min_score=2) == ()


def test_field_61_ids_of_a_file(toys: Collection, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\ufeff5, 9\n\n 11;13\t2\r\n")
    assert read_ids(path).tolist() == [5, 9, 11, 13, 2]
    for content, message in (
        ("5\nx\n", "ids.txt, line 2: 'x' is not an item id"),
        ("-3", "'-3' is not an item id"),
        ("1.5", "not an item id"),
        ("9" * 30, "not an item id"),
    ):
        path.write_text(content)
        with pytest.raises(QueryError, match=message):
            read_ids(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(QueryError, match="not UTF-8"):
        read_ids(path)
    with pytest.raises(QueryError, match="none: cannot read ids"):
        read_ids(tmp_path / "none")


def test_field_42_all_of_several_conditions_must_hold(toys: Collection) -> None:
    hits = toys.search("red", k=LIVING, where=["number > 10 OR number = 2", "number < 20"])
    assert sorted(ids(hits)) == [2, *range(11, 20)]
    with pytest.raises(FilterError):
        toys.search("red", where=["number > 10) OR (number = 2", "number < 20"])
    copy = Collection(sixty_items(Path(toys.root).parent / "copy"))
    assert copy.remove(where=["number > 10", "number < 20"]) == 9
    assert len(copy) == LIVING - 9


def test_field_42_the_message_about_k_0_names_only_k(toys: Collection) -> None:
    with pytest.raises(QueryError) as caught:
        toys.search("red", k=0)
    assert str(caught.value) == "k must be at least 1, got 0"


# ---------------------------------------------------------------- hits and the collection


def test_field_46_hits_are_a_tuple_and_a_table(toys: Collection) -> None:
    hits = toys.search("red", k=5, with_vectors=True)
    assert isinstance(hits, tuple)
    assert isinstance(hits[:2], Hits)
    assert hits[:2] + hits[2:] == hits
    assert pickle.loads(pickle.dumps(hits)) == hits
    table = hits.to_arrow()
    assert table.column_names[:4] == ["rank", "score", "item_id", "uri"]
    for name in ("rank", "score", "item_id", "uri", "start_seconds", "likely"):
        assert table[name].to_pylist() == [getattr(hit, name) for hit in hits]
    assert table["modality"].to_pylist() == [str(hit.modality) for hit in hits]
    assert table["number"].to_pylist() == [hit.metadata["number"] for hit in hits]
    np.testing.assert_allclose(table["vector"][0].as_py(), hits[0].vector)
    empty = Hits().to_arrow()
    assert empty.num_rows == 0
    assert empty.schema.field("score").type == "double"


def test_field_46_hits_as_a_data_frame(toys: Collection) -> None:
    hits = toys.search("red", k=5)
    if find_spec("pandas") is None:
        with pytest.raises(MissingExtraError, match="pip install pandas"):
            hits.to_pandas()
        return
    assert hits.to_pandas()["item_id"].tolist() == ids(hits)


def test_field_46_a_column_with_the_name_of_a_field_keeps_both(toys: Collection) -> None:
    from dataclasses import replace

    hit = replace(toys.search("red", k=1)[0], metadata={"score": "A", "x": 1})
    table = Hits([hit]).to_arrow()
    assert table["metadata.score"].to_pylist() == ["A"]
    assert table["score"].to_pylist() == [hit.score]


def test_field_46_the_repr_of_a_collection_shows_its_content(
    toys: Collection, tmp_path: Path
) -> None:
    assert len(toys) == LIVING
    assert repr(toys) == (
        f"<Collection('{toys.root}'): 58 items (29 image, 29 video), 2 spaces, not indexed, "
        f"generation {toys.snapshot.manifest.generation}>"
    )
    empty = Collection(tmp_path / "new")
    assert (len(empty), bool(empty)) == (0, True)
    assert repr(empty) == f"<Collection('{tmp_path / 'new'}'): empty>"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "CURRENT").write_text("broken")
    assert "is damaged" in repr(empty)


def test_field_46_a_collection_is_a_context(tmp_path: Path) -> None:
    with Collection(sixty_items(tmp_path / "c")) as collection:
        collection._encoders = {PICTURES.name: ENCODER, SOUND.name: ToyEncoder.music()}
        assert len(collection.search("red")) == 10
    assert not collection._encoders
    assert len(collection) == LIVING  # it opens again


# ---------------------------------------------------------------- as people type it


def test_field_46_and_61_on_the_command_line(copied: Collection, tmp_path: Path) -> None:
    first = copied.search("a red circle", to="image", k=4)
    search = ("search", copied.root, "--to", "image", "--format", "csv")

    def found(*arguments: object) -> list[int]:
        return [int(line.split(",")[2]) for line in run(*search, *arguments).splitlines()[1:]]

    assert found("a red circle", "-k", 4) == ids(first)
    assert found("a red circle", "-k", 2, "--offset", 2) == ids(first)[2:]
    assert found("a red circle", "-k", 4, "--min-score", first[1].score) == ids(first)[:2]
    (tmp_path / "ids").write_text(f"{first[1].item_id}\n{first[3].item_id}\n")
    assert found("a red circle", "--ids", tmp_path / "ids") == ids(first)[1::2]
    like = first[0].item_id
    assert found("--like", like, "-k", 3) == ids(copied.search(like=like, to="image", k=3))
    two = ("--where", f"item_id != {first[0].item_id}", "--where", f"item_id != {first[1].item_id}")
    assert found("a red circle", "-k", 2, *two) == ids(first)[2:]
    with pytest.raises(QueryError, match="give a QUERY or --queries FILE, --like ITEM_ID"):
        run(*search, "a red circle", "--like", 1)
    with pytest.raises(QueryError, match="--print0 prints paths"):
        run(*search, "a red circle", "--print0")


# ---------------------------------------------------------------- the first search of a process


def test_a_process_that_searches_a_text_imports_neither_torch_nor_decoders(
    indexed: Collection,
) -> None:
    program = (
        "import sys, cli.main\n"
        "cli.main.app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'open_clip', 'transformers', 'duckdb', 'av', 'PIL', 'soundfile'}\n"
        "print(heavy & sys.modules.keys())"
    )
    arguments = ("search", str(indexed.root), "a red circle", "--to", "image", "--format", "json")
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    answer, _, modules = done.stdout.strip().rpartition("\n")
    assert modules == "set()"
    want = indexed.search("a red circle", to="image")
    assert [hit["score"] for hit in json.loads(answer)["hits"]] == [hit.score for hit in want]
