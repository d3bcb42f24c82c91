"""`retrieval classify` as people type it, on the bundled models."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Background, Colour, Scene, SceneObject, Shape, Size, Texture
from retrieval.errors import QueryError

LABELS = "red circle, blue star, green square, yellow heart"
KINDS = [
    (Colour.RED, Shape.CIRCLE), (Colour.BLUE, Shape.STAR),
    (Colour.GREEN, Shape.SQUARE), (Colour.YELLOW, Shape.HEART),
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures, and a list that says what they are."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number, (colour, shape) in enumerate(KINDS):
        thing = SceneObject(shape, colour, Size.LARGE, Texture.PLAIN, 4, 0.5, 0.5, 0.0)
        scene = Scene((thing,), Background.GRAY, seed=number)
        Image.fromarray(render_scene(scene, 128)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{colour}_{shape}")
    (folder / "list.csv").write_text("\n".join(["file,kind", *rows]) + "\n")
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["classify", *(str(a) for a in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_line_for_each_item_and_the_accuracy(pictures: Path) -> None:
    given = (pictures / "list.csv", "--labels", LABELS, "--model", "tiny", "--truth", "kind")
    lines = run(*given, "--workers", 0, "-k", 2).splitlines()
    assert len(lines) == 5
    for number, (colour, shape) in enumerate(KINDS):
        assert re.match(rf" *[\d.]+% {colour} {shape} .*{number}\.png$", lines[number])
    assert lines[4].startswith("accuracy 100.0% (4 of 4)")


def test_json_is_one_object(pictures: Path) -> None:
    (pictures / "bad.jpg").write_bytes(b"no picture")
    given = (pictures, "--labels", LABELS, "--model", "tiny", "--workers", 0)
    document = json.loads(run(*given, "--format", "json"))
    (pictures / "bad.jpg").unlink()
    assert document["labels"] == LABELS.split(", ")
    assert [item["guesses"][0]["label"] for item in document["items"]] == document["labels"]
    assert list(document["items"][0]) == ["uri", "modality", "medium", "guesses", "truth"]
    assert list(document["items"][0]["guesses"][0]) == ["label", "probability", "score"]
    assert document["failed"] == len(document["failures"]) == 1
    assert document["accuracy"] is None


def test_csv_has_a_row_for_each_label(pictures: Path) -> None:
    given = (pictures / "0.png", "--labels", LABELS, "--model", "tiny", "--workers", 0)
    rows = list(csv.DictReader(run(*given, "--format", "csv", "-k", 9).splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1)
    assert rows[0]["label"] == "red circle"


def test_one_label_fails(pictures: Path) -> None:
    with pytest.raises(QueryError, match="at least 2"):
        run(pictures, "--labels", "red", "--model", "tiny")
