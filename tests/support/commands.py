"""Runs commands as people type them, in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from cli.main import app


def run(*arguments: object) -> str:
    """Run a command; its standard output, or the error it raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout
