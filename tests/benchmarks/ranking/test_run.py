"""Suites of rankings from files to figures, by the bundled models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from benchmarks.results.outcome import Outcome, RankedAnswer
from benchmarks.runner import run_suite
from benchmarks.suite import RunOptions
from benchmarks.suites import flickr30k, msrvtt
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.encoders.catalogue import BACKENDS, Backend
from retrieval.errors import QueryError, SourceError, UnknownModelError
from retrieval.media.names import path_to_uri
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher, SearchResult
from retrieval.targets import Target
from retrieval.types import Medium
from tests.support.commands import run
from tests.support.media_files import write_video
from tests.support.messages import logged
from tests.support.small_data_sets import karpathy, write_table
from tests.support.toy_encoder import COLOURS, ToyEncoder

PAGE = Path(__file__).parents[3] / "docs" / "benchmarking.md"


@pytest.fixture(scope="module")
def flickr(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of the demo world as Flickr30k: each by its caption, and by one that tells
    nothing."""
    folder = tmp_path_factory.mktemp("flickr30k")
    (folder / "flickr30k-images").mkdir()
    images = []
    for number, item in enumerate(world.of(Medium.IMAGE)[:5]):
        name = f"{number}.png"
        shutil.copy(world.folder / item.file, folder / "flickr30k-images" / name)
        images.append(karpathy(name, "test", [item.caption, '"a" + "b"'], 2 * number))
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"images": images}))
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def document(flickr: Path, kept: Path) -> dict[str, Any]:
    """What the command prints."""
    printed = run("bench", "run", "flickr30k", "--data", flickr, "--model", "tiny",
                  "--folder", kept, "--format", "json")  # fmt: skip
    return dict(json.loads(printed))


def run_flickr30k(
    folder: Path, data: Path, *, models: Sequence[str] = ("tiny",), scale: float = 1.0
) -> Outcome:
    options = RunOptions(folder=folder, data_folder=data, models=models, scale=scale)
    return run_suite(flickr30k.SUITE, options)


def test_a_small_flickr30k(document: dict[str, Any]) -> None:
    rows = {(row["task"], row["metric"]): row for row in document["results"]}
    metrics = ["R@1", "R@5", "R@10"]
    deep = [*metrics, "median rank", "mean rank"]
    assert list(rows) == [
        *(("text to image", metric) for metric in deep),
        *(("text to image, index", metric) for metric in metrics),
        *(("image to text", metric) for metric in deep),
    ]
    assert {row["suite"] for row in rows.values()} == {"flickr30k"}
    assert {task: row["pool"] for (task, _), row in rows.items()} == {
        "text to image": 5, "text to image, index": 5, "image to text": 10
    }  # fmt: skip
    assert rows["text to image", "R@1"]["chance"] == pytest.approx(1 / 5)
    assert rows["image to text", "R@1"]["chance"] == pytest.approx(2 / 10)
    assert all(row["published"] is None for row in rows.values())
    # Five captions tell their picture, the same empty one is right about one picture of five.
    assert rows["text to image", "R@1"]["value"] == pytest.approx(0.6)
    assert rows["text to image", "mean rank"]["value"] == pytest.approx((5 * 1 + 15) / 10)
    assert rows["text to image", "R@5"]["value"] == 1.0
    assert rows["image to text", "R@1"]["value"] == 1.0
    for metric in metrics:
        exact = rows["text to image", metric]["value"]
        assert rows["text to image, index", metric]["value"] == exact


def test_every_query_has_its_values(document: dict[str, Any]) -> None:
    values = {task["task"]: task for task in document["queries"]}
    assert values["text to image"]["ids"] == [str(number) for number in range(10)]
    assert values["image to text"]["ids"] == [f"{number}.png" for number in range(5)]
    assert values["text to image"]["values"]["R@1"][::2] == [1] * 5
    assert sorted(values["text to image"]["values"]["mean rank"][1::2]) == [1, 2, 3, 4, 5]


def test_a_second_run_embeds_nothing_and_agrees_with_exact_search(
    document: dict[str, Any], flickr: Path, kept: Path
) -> None:
    folder = kept / "flickr30k"
    with logged("benchmarks") as messages:
        outcome = run_flickr30k(folder, flickr)
    assert next(line for line in messages if "embedded" in line).startswith("0 files embedded")
    assert [row.value for row in outcome.results] == [row["value"] for row in document["results"]]
    exact, index, _ = outcome.answers
    collection = Collection.open(folder / "collection")
    searcher = Searcher(collection.snapshot, collection.encoder, exact=True)
    for one, other in zip(exact.answers, index.answers, strict=True):
        assert isinstance(one, RankedAnswer)
        assert isinstance(other, RankedAnswer)
        assert (one.items, one.query) == (other.items, other.query)
        if one.query.startswith('"'):
            continue
        hits = searcher.search(one.query, SearchOptions(to=[Target.IMAGE])).hits
        assert [exact.files[item].as_posix() for item in one.items] == [hit.uri for hit in hits]
        np.testing.assert_allclose(one.scores, [hit.score for hit in hits], atol=2e-3)


def test_only_the_row_of_the_index_shows_its_loss(
    document: dict[str, Any], flickr: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that never finds what is best for the first caption."""
    whole, asked = Searcher.search, []

    def search(self: Searcher, query: Query, options: SearchOptions | None = None) -> SearchResult:
        asked.append(query)
        result = whole(self, query, options)
        return replace(result, hits=result.hits[1:]) if len(asked) == 1 else result

    monkeypatch.setattr(Searcher, "search", search)
    folder = kept / "flickr30k"
    outcome = run_flickr30k(folder, flickr)
    before = {(row["task"], row["metric"]): row["value"] for row in document["results"]}
    after = {(row.task, row.metric): row.value for row in outcome.results}
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert changed == {
        ("text to image, index", "R@1"): (pytest.approx(0.6), pytest.approx(0.5)),
    }
    values = next(task for task in outcome.queries if task.task == "text to image, index")
    assert values.values["R@1"][0] == 0


def test_a_partial_pool_is_logged(flickr: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(flickr, data)
    (data / "flickr30k-images" / "1.png").unlink()
    (data / "flickr30k-images" / "3.png").write_bytes(b"not a picture")
    with logged("benchmarks") as messages:
        outcome = run_flickr30k(tmp_path / "run", data)
    text = "\n".join(messages)
    assert "1 of 5 files are missing: " in text
    assert "the pool is 4 of 5 items: its figures are not comparable with published" in text
    assert "1 of 4 files could not be embedded" in text
    assert {row.pool for row in outcome.results} == {3, 6}
    assert outcome.queries[0].ids == ["0", "1", "4", "5", "8", "9"]


def test_a_share_of_the_items(flickr: Path, tmp_path: Path) -> None:
    with logged("benchmarks") as messages:
        few = run_flickr30k(tmp_path, flickr, scale=0.4)
    assert few.results[0].pool == 2
    assert any("the pool is 2 of 5 items" in line for line in messages)
    assert run_flickr30k(tmp_path, flickr).results[0].pool == 5
    with pytest.raises(SourceError, match=r"holds 3 items of another .*use another folder"):
        run_flickr30k(tmp_path, flickr, scale=0.4)


def test_a_model_that_reads_no_pictures_fails(flickr: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="flickr30k holds image files, which music does"):
        run_flickr30k(tmp_path, flickr, models=("music",))


def test_a_model_by_its_specification_that_reads_no_pictures_fails(
    flickr: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownModelError, match="tiny-music embeds no image files"):
        run_flickr30k(tmp_path, flickr, models=("tiny-music",))


def test_no_file_at_all_fails(flickr: Path, tmp_path: Path) -> None:
    (tmp_path / "flickr30k-images").mkdir()
    shutil.copy(flickr / "dataset_flickr30k.json", tmp_path)
    with pytest.raises(
        SourceError, match=r"flickr30k: none of 5 files exists, for example .*Young"
    ):
        run_flickr30k(tmp_path / "run", tmp_path)


def test_a_small_clotho(world: World, tmp_path: Path) -> None:
    """Recordings of several windows, and five captions each; through a folder of data sets."""
    data = tmp_path / "data" / "clotho"
    (data / "evaluation").mkdir(parents=True)
    tunes = world.of(Medium.AUDIO)[:4]
    rows = []
    for number, item in enumerate(tunes):
        name = f"{number}{Path(item.file).suffix}"
        shutil.copy(world.folder / item.file, data / "evaluation" / name)
        rows.append((name, *[item.caption] * 5))
    columns = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
    write_table(data / "clotho_captions_evaluation.csv", columns, rows)
    printed = run("bench", "run", "clotho", "--data", data.parent, "--model", "tiny",
                  "--folder", tmp_path / "kept", "--format", "json")  # fmt: skip
    results = json.loads(printed)["results"]
    found = {(row["task"], row["metric"]): row["value"] for row in results}
    assert {task for task, _ in found} == {
        "text to sound", "text to sound, index", "sound to text",
        "text to sound, mean of segments", "sound to text, mean of segments",
    }  # fmt: skip
    assert {row["pool"] for row in results} == {4, 20}
    assert found["text to sound", "R@1"] > 0.25
    # With one relevant recording it is 1 / rank within the first ten: here all four.
    assert found["text to sound", "mAP@10"] >= 1 / found["text to sound", "mean rank"]
    for metric in ("R@1", "mAP@10"):
        assert found["text to sound, index", metric] == found["text to sound", metric]


def test_videos_have_a_row_for_the_mean_of_their_segments(tmp_path: Path) -> None:
    (tmp_path / "MSRVTT_Videos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("video1", "video2"):
        frames = list(rng.integers(0, 255, (25, 48, 64, 3), dtype=np.uint8))
        write_video(tmp_path / "MSRVTT_Videos" / f"{name}.mp4", frames, rate=5)
    rows = [("ret0", "msr1", "video1", "a red circle"), ("ret1", "msr2", "video2", "the sea")]
    columns = ("key", "vid_key", "video_id", "sentence")
    write_table(tmp_path / "MSRVTT_JSFUSION_test.csv", columns, rows)
    run_folder = tmp_path / "run"
    options = RunOptions(folder=run_folder, data_folder=tmp_path, models=("tiny-image",))
    outcome = run_suite(msrvtt.SUITE, options)
    tasks = list(dict.fromkeys(row.task for row in outcome.results))
    assert tasks == [
        "text to video", "text to video, index", "video to text",
        "text to video, mean of segments", "video to text, mean of segments",
    ]  # fmt: skip
    scores = _scores(outcome)
    collection = Collection.open(run_folder / "collection")
    (space,) = collection.snapshot.spaces
    known = collection.snapshot.known_files()
    for (task, text, key), score in scores.items():
        uri = path_to_uri(str(tmp_path / "MSRVTT_Videos" / f"{key}.mp4"))
        rows_of_video = collection.snapshot.item_segments(space.name, known[uri].item_id).vectors
        assert len(rows_of_video) > 1
        (vector,) = collection.encoder(space).encode_text([text])
        mean = rows_of_video.mean(axis=0)
        expected = (rows_of_video @ vector).max()
        if task.endswith("mean of segments"):
            expected = mean @ vector / np.linalg.norm(mean)
        assert score == pytest.approx(expected, abs=2e-3)


class ToyBackend:
    """Loads toy encoders by name."""

    @staticmethod
    def load(location: str, *, spec: str, device: str) -> ToyEncoder:
        del spec, device
        return ToyEncoder(name=location)


def test_every_model_has_its_rows_and_published_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "toy", Backend(f"{__name__}:ToyBackend"))
    files = {name: tmp_path / f"{name}.png" for name in ("red", "green", "blue", "grey")}
    for name, path in files.items():
        Image.new("RGB", (32, 32), COLOURS[name]).save(path)
    captions = [Caption(name, name, (name,)) for name in ("red", "green", "blue")]
    reported = {
        "toy:one": {("text to image", "R@1"): 0.75, ("image to text", "R@5"): 0.5},
        "toy:three": {("text to image", "R@1"): 0.25},
    }
    data_set = DataSet(title="Colours", task="text to image", size="4", licence="none",
                       source="a box", files=(), reported=reported)  # fmt: skip
    suite = RankingSuite(
        name="colours", summary="", data_set=data_set, medium=Medium.IMAGE,
        read=lambda data: Gallery(files, captions),
    )  # fmt: skip
    options = RunOptions(folder=tmp_path / "run", data_folder=tmp_path, models=["toy:one"])
    one = run_suite(suite, options)
    assert {row.task for row in one.results} == {
        "text to image", "text to image, index", "image to text"
    }  # fmt: skip
    assert {row.value for row in one.results} == {1.0}
    # Grey is a distractor of the captions, and never a query.
    assert {row.task: row.pool for row in one.results}["image to text"] == 3
    assert one.queries[2].ids == ["red", "green", "blue"]
    assert _published(one) == {("text to image", "R@1"): 0.75, ("image to text", "R@5"): 0.5}
    two = run_suite(suite, replace(options, models=["toy:one", "toy:two"]))
    first, second = (
        space.name for space in Collection.open(tmp_path / "run/collection").snapshot.spaces
    )
    tasks = dict.fromkeys(row.task for row in two.results)
    assert list(tasks) == [
        f"{task}, {space}" for space in (first, second)
        for task in ("text to image", "text to image, index", "image to text")
    ]  # fmt: skip
    assert _published(two) == {
        (f"text to image, {first}", "R@1"): 0.75, (f"image to text, {first}", "R@5"): 0.5
    }  # fmt: skip
    files["grey"].unlink()
    with pytest.raises(SourceError, match="holds 1 items of another"):
        run_suite(suite, options)
    partial = run_suite(suite, replace(options, folder=tmp_path / "other"))
    assert _published(partial) == {}


def _published(outcome: Outcome) -> dict[tuple[str, str], float]:
    rows = outcome.results
    return {(row.task, row.metric): row.published for row in rows if row.published is not None}


def _scores(outcome: Outcome) -> dict[tuple[str, str, str], float]:
    """By task, text and video, of the tasks that ask texts."""
    return {
        (task.task, answer.query, item): score
        for task in outcome.answers
        if task.task.startswith("text")
        for answer in task.answers
        if isinstance(answer, RankedAnswer)
        for item, score in zip(answer.items, answer.scores, strict=True)
    }


# ---------------------------------------------------------------- the example of the page


def test_the_example_of_the_page_runs_as_it_is_written(world: World, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example.count("\n") < 60
    suite = tmp_path / "my_pictures.py"
    suite.write_text(example)
    data = tmp_path / "data"
    (data / "pictures").mkdir(parents=True)
    items = world.of(Medium.IMAGE)[:3]
    for number, item in enumerate(items):
        shutil.copy(world.folder / item.file, data / "pictures" / f"{number}.png")
    rows = [(f"{number}.png", item.caption) for number, item in enumerate(items)]
    write_table(data / "captions.csv", ("file", "caption"), [*rows, ("0.png", "a drawing")])
    table = run("bench", "run", suite, "--data", data, "--model", "tiny")
    lines = [line for line in table.splitlines() if line.startswith("| text to image |")]
    assert [line.split(" | ")[1] for line in lines] == [
        "R@1", "R@5", "R@10", "median rank", "mean rank"
    ]  # fmt: skip
    assert "| text to image | R@5 | 1 |" in table
    (data / "captions.csv").unlink()
    with pytest.raises(SourceError, match=r"My pictures: .* lacks captions.csv; they come from"):
        run("bench", "run", suite, "--data", data, "--model", "tiny")


def test_a_suite_can_be_a_function_in_a_file(tmp_path: Path) -> None:
    suite = tmp_path / "ours.py"
    suite.write_text(
        "from benchmarks.results.outcome import Result\n"
        "DATA = 1\n"
        "def run(*, data, models, scale):\n"
        "    return [Result('ours', f'{data.name}, {models}', 'scale', scale)]\n"
    )
    table = run("bench", "run", suite, "--data", tmp_path, "--model", "tiny", "--scale", "0.5")
    assert f"| {tmp_path.name}, ('tiny',) | scale | 0.5 |" in table


def test_a_suite_that_is_no_suite_fails(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("DATA = None\n")
    for name, message in (("empty.py", "has no SUITE, and no DATA"), ("none.py", "no such file")):
        with pytest.raises(SourceError, match=message):
            run("bench", "run", tmp_path / name, "--data", tmp_path)
    (tmp_path / "data.py").write_text("DATA = 1\ndef run(*, folder, data): return []\n")
    with pytest.raises(SourceError, match=r"data\.py reads a data set: name its folder"):
        run("bench", "run", tmp_path / "data.py")
    with pytest.raises(QueryError, match=r"data\.py has models of its own; leave --model out"):
        run("bench", "run", tmp_path / "data.py", "--data", tmp_path, "--model", "tiny")
    with pytest.raises(QueryError, match="demo has models of its own; leave --model out"):
        run("bench", "run", "demo", "--model", "tiny")
