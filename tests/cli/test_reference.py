from pathlib import Path

import typer

from cli.main import app
from cli.reference import command_paths, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"


def test_every_command_has_help() -> None:
    root = typer.main.get_command(app)
    for words in command_paths(root):
        command = root
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        assert command.help, f"{' '.join(words)} says nothing of itself"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{' '.join(words)}: {parameter.name}"
