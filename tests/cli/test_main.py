import logging
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli.main
import retrieval
from retrieval.errors import QueryError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_of_a_process_is_text() -> None:
    printed = run("--help").stdout
    assert printed.startswith("Usage: ")
    assert "Commands:\n  demo " in printed


def test_options_accept_underscores(tmp_path: Path) -> None:
    done = run("embed", "--retry_failed", "--batch_size=4", str(tmp_path / "a_b"), "-c", "c_d")
    assert done.returncode == 2
    assert f"{tmp_path / 'a_b'}" in done.stderr  # values keep theirs
    assert "No such option" not in done.stderr


def test_version_is_the_one_of_the_package() -> None:
    assert run("--version").stdout == f"retrieval {retrieval.__version__}\n"


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), ["I", "W"]), (("-q",), ["W"]), (("-v",), ["D", "I", "W"])],
)
def test_messages_of_the_library_go_to_stderr(options: tuple[str, ...], shown: list[str]) -> None:
    code = """
import logging, cli.main
from retrieval.errors import RetrievalError
@cli.main.app.command()
def talk():
    logger = logging.getLogger("retrieval.anything")
    logger.debug("D"); logger.info("I"); logger.warning("W")
    logging.getLogger("other").info("other")
cli.main.main()
"""
    command = [sys.executable, "-c", code, *options, "talk"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.split() == shown


def test_a_known_error_is_one_line_and_exit_code_2(monkeypatch, capsys) -> None:
    def fails() -> None:
        raise QueryError("no\nsuch folder")

    monkeypatch.setattr(cli.main, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "retrieval: no such folder\n"


def test_any_other_error_keeps_its_traceback(monkeypatch) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.main, "app", fails)
    with pytest.raises(ZeroDivisionError):
        cli.main.main()


@pytest.mark.parametrize("option", ["-q", "-v"])
def test_a_command_restores_the_logging_of_its_process(option: str, tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("", *cli.main.OUR_LOGGERS)]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    assert CliRunner().invoke(cli.main.app, [option, "status", str(tmp_path)]).exit_code != 0
    assert [(logger.level, list(logger.handlers)) for logger in loggers] == before
