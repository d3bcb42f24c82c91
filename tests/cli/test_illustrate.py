"""`retrieval illustrate` as people type it."""

from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from retrieval.collection import Collection


def test_a_text_becomes_a_page(indexed: Collection, tmp_path: Path) -> None:
    text, page = tmp_path / "a story.txt", tmp_path / "page.html"
    text.write_text("First a red circle. Then a blue star.\nAt last a green square.")
    given = ["illustrate", str(text), "-c", str(indexed.root), "--out", str(page)]
    result = CliRunner().invoke(app, [*given, "--branching", "4"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[::2] == [
        "First a red circle.", "Then a blue star.", "At last a green square.",
    ]  # fmt: skip
    assert all("/world" in line for line in lines[1::2])
    html = page.read_text()
    assert html.count("<article") == 3
    assert "<title>a story</title>" in html
