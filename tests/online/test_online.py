"""`make test-online`: the default model from the real hub, on answers that anyone can check.

It needs a network, about 2.3 GB, and real media: RETRIEVAL_REAL_DATA, or `--media FOLDER` with
pictures of your own, whose names say what they show. `--data FOLDER` adds an official suite of each
kind where FOLDER holds one: `coco` or `flickr30k`, `musiccaps`, `msrvtt`.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

pytestmark = pytest.mark.online

QUESTIONS = {
    "a cat": ("cat_1", "cat_2", "cat_720p", "pets"),
    "lightning in the night sky": ("lightning_1", "lightning_2"),
    "a dragonfly": ("dragonfly",),
    "an owl": ("owl",),
    "a hot dog": ("hot_dog",),
    "a clock": ("clock_1", "clock_2"),
    "somebody coughing": ("coughing_1", "coughing_2"),
    "kites on a beach": ("kite_and_cold",),
}
"""Queries of the photographs, and which of them may come first."""

SOUNDS = {
    "a solo trumpet": "trumpet",
    "humpback whales singing": "humpback",
    "a bird whistling": "bird-whistling",
}

TOLERANCE = 0.02
"""How far R@1 may lie from the published figure: other seeds, resizing and precision move it."""

SUITES = {
    "coco": ("text to image", "open_clip:ViT-B-32-SigLIP2-256/webli"),
    "musiccaps": ("text to music", "clap:laion/larger_clap_general"),
    "msrvtt": ("text to video", "open_clip:ViT-B-32-SigLIP2-256/webli"),
}
"""A suite of each kind with its task, and the encoder of `small` that it asks."""


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def small() -> None:
    """The models of `small`, fetched from the hub that huggingface_hub is pointed to."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        pytest.skip("HF_HUB_OFFLINE is set: run `make test-online`")
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=20).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except OSError as error:
        pytest.skip(f"no network: {constants.ENDPOINT} cannot be reached ({error})")
    print(run("models", "fetch", "--yes", "small"))


@pytest.fixture(scope="module")
def media(request: pytest.FixtureRequest) -> Path:
    named = request.config.getoption("--media") or os.environ.get("RETRIEVAL_REAL_DATA")
    if not named:
        pytest.skip("neither --media nor RETRIEVAL_REAL_DATA names a folder")
    return Path(named)


@pytest.fixture(scope="module")
def collection(small: None, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("online") / "c"
    known = [media / name for name in ("photos", "music", "videos") if (media / name).is_dir()]
    print(run("embed", *(known or [media]), "-c", folder))
    run("index", folder)
    return folder


def names(collection: Path, query: str, *targets: str) -> list[str]:
    """Names of the files that answer a query, without their suffixes, best first."""
    to = [word for target in targets for word in ("--to", target)]
    hits = json.loads(run("search", collection, query, *to, "--format", "json"))["hits"]
    return [Path(hit["uri"]).stem for hit in hits]


@pytest.mark.parametrize("query", QUESTIONS)
def test_photographs_answer_as_anyone_can_see(query: str, collection: Path, media: Path) -> None:
    if not (media / "photos").is_dir():
        pytest.skip(f"{media} has no folder photos: these questions are about its pictures")
    found = names(collection, query, "image")
    assert found[0] in QUESTIONS[query], found
    if len(QUESTIONS[query]) == 2:
        assert set(found[:2]) == set(QUESTIONS[query]), found


@pytest.mark.parametrize("query", SOUNDS)
def test_recordings_answer_as_anyone_can_hear(query: str, collection: Path, media: Path) -> None:
    if not (media / "music").is_dir():
        pytest.skip(f"{media} has no folder music")
    found = names(collection, query, "music")
    assert SOUNDS[query] in found[0], found


def test_pictures_of_your_own_answer_to_their_names(collection: Path, media: Path) -> None:
    """Of pictures named by what they show, most are among the first tenth for that name."""
    if (media / "photos").is_dir():
        pytest.skip("asked of a folder given by --media")
    pictures = [path for path in media.rglob("*") if path.suffix.lower() in (".jpg", ".png")]
    first = max(1, len(pictures) // 10)
    found = [
        path.stem in names(collection, path.stem.replace("_", " "), "image")[:first]
        for path in pictures[:50]
    ]
    assert sum(found) >= len(found) / 2, f"{sum(found)} of {len(found)}"


@pytest.mark.parametrize("suite", SUITES)
def test_an_official_suite_agrees_with_the_published_figure(
    suite: str, small: None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    data = request.config.getoption("--data")
    if not data or not (Path(data) / suite).is_dir():
        pytest.skip(f"--data names no folder with a folder {suite}")
    task, model = SUITES[suite]
    out = tmp_path / "results.json"
    print(run("bench", "run", suite, "--data", data, "--model", model, "--out", out))
    results = json.loads(out.read_text())["results"]
    row = next(row for row in results if row["metric"] == "R@1" and row["task"].startswith(task))
    assert row["value"] > 10 * row["chance"]
    if row["published"] is not None:
        assert row["value"] == pytest.approx(row["published"], abs=TOLERANCE)
