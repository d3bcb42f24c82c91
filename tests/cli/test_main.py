import pytest

import cli.main
from cli.main import with_dashes
from retrieval.errors import CollectionNotFoundError


def test_options_accept_underscores() -> None:
    given = ["embed", "a_b", "--batch_size=4", "--retry_failed", "--", "--my_file"]
    want = ["embed", "a_b", "--batch-size=4", "--retry-failed", "--", "--my_file"]
    assert with_dashes(given) == want


def test_a_value_keeps_its_underscores() -> None:
    assert with_dashes(["--path_col=image_path"]) == ["--path-col=image_path"]


def test_a_known_error_is_one_line_and_exit_code_2(monkeypatch, capsys) -> None:
    def fails(arguments: list[str]) -> None:
        raise CollectionNotFoundError("no\nsuch folder")

    monkeypatch.setattr(cli.main, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "retrieval: no such folder\n"


def test_any_other_error_keeps_its_traceback(monkeypatch) -> None:
    def fails(arguments: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.main, "app", fails)
    with pytest.raises(ZeroDivisionError):
        cli.main.main()
