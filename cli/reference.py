"""Generates docs/cli.md from the help texts: `python -m cli.reference > docs/cli.md`."""

from __future__ import annotations

import os
import re

HEADER = """# Commands

`make docs` generates this page from the help texts. Results go to standard output; progress,
messages and errors go to standard error. An error is one line, and the exit code is 2. Options
accept underscores instead of dashes.
"""


def reference() -> str:
    """Return the page: one section per command, in the order of `retrieval --help`."""
    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "100"
    import typer
    from typer.testing import CliRunner

    from cli.main import app

    runner = CliRunner()
    sections = [HEADER]
    for words in [[], *command_paths(typer.main.get_command(app))]:
        text = runner.invoke(app, [*words, "--help"], prog_name="retrieval").output
        title = " ".join(["retrieval", *words])
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
        sections.append(f"## {title}\n\n```text\n{plain}\n```\n")
    return "\n".join(sections)


def command_paths(command: object, before: tuple[str, ...] = ()) -> list[list[str]]:
    """List all sub-commands of a command, each as its words."""
    paths = []
    for name, child in getattr(command, "commands", {}).items():
        paths.append([*before, name])
        paths += command_paths(child, (*before, name))
    return paths


if __name__ == "__main__":
    print(reference(), end="")
