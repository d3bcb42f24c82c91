"""`retrieval train` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from indexes.errors import RetrievalError
from retrieval.demo.world import World
from retrieval.errors import SourceError
from retrieval.types import Medium


@pytest.fixture
def manifest(world: World, tmp_path: Path) -> Path:
    """The world's pictures and their captions."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"path": str(world.folder / item.file), "caption": item.caption}
        for item in world.of(Medium.IMAGE)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["train", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_adapter_is_trained_in_one_command(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    output = run(
        "clip", "--pairs", manifest, "--val", manifest, "--init", "tiny", "--adapter",
        "--out", out, "--steps", 5, "--device", "cpu",
    )  # fmt: skip
    lines = output.splitlines()
    assert lines[0].startswith("24 media, 5 steps in ")
    assert lines[1].startswith("text → media, before: R@1 ")
    assert lines[2] == f"use it with --model adapter:{out}"
    assert (out / "training.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clip", "--init", "tiny"), "need --pairs"),
        (("mulan", "--adapter"), "need --pairs"),
        (("clip", "--pairs", "nowhere.csv"), "cannot read the list"),
        (("clip", "--pairs", "nowhere.txt"), "not a manifest of pairs"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        run(*arguments, "--out", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_masked_language_model_needs_a_text_tower(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="masked language model"):
        run(
            "mulan", "--pairs", manifest, "--mlm", 0.5, "--freeze", "text", "--init", "tiny",
            "--out", tmp_path / "out",
        )  # fmt: skip
