"""Row 34: messages name options that exist, tell what is true, and quote little."""

import ast
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import cli.main
from cli.hints import one_line
from retrieval.collection import Collection
from retrieval.errors import (
    CollectionNotFoundError,
    QueryError,
    SourceError,
    UnknownModelError,
    short_repr,
)
from retrieval.media.decode import decode
from retrieval.types import DecodePlan, Failure, Source
from support.media_lists import read_list

ROOT = Path(__file__).parents[2]


def _options(command: object) -> set[str]:
    found = {
        name for one in getattr(command, "params", ()) for name in (*one.opts, *one.secondary_opts)
    }
    for below in getattr(command, "commands", {}).values():
        found |= _options(below)
    return found | {"--help"}


def test_field_34_every_option_that_a_message_names_exists() -> None:
    there = _options(get_command(cli.main.app))
    assert {"--path-col", "--where", "--print0"} <= there
    for folder in ("retrieval", "indexes", "benchmarks", "cli"):
        for module in sorted((ROOT / folder).rglob("*.py")):
            for line in module.read_text().splitlines():
                if "git" in line or "--batch_size" in line:
                    continue  # options of another program, and of the rule for underscores
                named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", line))
                assert named <= there, f"{module}: {line}"


def _messages(module: Path) -> Iterator[str]:
    """The string literals of a module, without docstrings."""
    tree = ast.parse(module.read_text())
    docstrings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
        ):
            yield node.value


@pytest.mark.parametrize("folder", ["retrieval", "indexes"])
def test_the_library_names_no_option_and_no_command(folder: str) -> None:
    for module in sorted((ROOT / folder).rglob("*.py")):
        for text in _messages(module):
            assert not re.search(r"(?<![\w-])--[a-z]|`retrieval |retrieval (embed|index) ", text), (
                f"{module}: {text}"
            )


def test_the_hint_of_a_missing_collection_resolves_it(mixed: Path, tmp_path: Path) -> None:
    from support.commands import run

    root = tmp_path / "library"
    with pytest.raises(CollectionNotFoundError) as caught:
        run("search", root, "a red circle")
    hint = re.search(r"`retrieval ([^`]+)`", one_line(caught.value))
    assert hint is not None
    command = hint[1].replace("SOURCE", str(mixed)).replace("COLLECTION", str(root)).split()
    run(*command, "--model", "tiny-image", "--workers", 0)
    assert "circle" in run("search", root, "a red circle")


def test_the_hint_of_an_unknown_model_resolves_it() -> None:
    from support.commands import run

    with pytest.raises(UnknownModelError) as caught:
        raise UnknownModelError("no model 'smal'")
    hint = re.search(r"`retrieval ([^`]+)`", one_line(caught.value))
    assert hint is not None
    assert "tiny-image" in run(*hint[1].split())


@pytest.mark.parametrize("extension", ["csv", "tsv"])
def test_field_34_a_picture_named_as_a_list_is_not_quoted(tmp_path: Path, extension: str) -> None:
    noise = zlib.compress(bytes(range(256)) * 40_000, 0).replace(b"\n", b"").replace(b"\r", b"")
    path = tmp_path / f"photo.{extension}"
    path.write_bytes(b"\x89PNG" + noise.replace(b'"', b"") + b"\n" + b"x,y\n")
    with pytest.raises(SourceError) as caught:
        list(read_list(str(path)))
    assert len(str(caught.value)) < 600


def test_field_34_no_bytes_of_a_file_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"root:$6$saltsalt$hash" + struct.pack("<q", 1))
    (failure,) = decode(Source(str(path), str(path)), DecodePlan(), {})
    assert isinstance(failure, Failure)
    assert "root" not in failure.reason
    assert "salt" not in failure.reason


def test_field_34_quotations_are_short() -> None:
    assert short_repr("a" * 10**6) == "'" + "a" * 58 + "…"
    assert short_repr(["abc", 1]) == "['abc', 1]"
    error = QueryError("begin " + "x" * 600_000 + " end")
    assert len(one_line(error)) <= 2_010
    assert one_line(error).startswith("begin xx")
    assert one_line(error).endswith("xx end")


def test_field_34_ids_are_where_the_message_says(copied: Collection) -> None:
    with pytest.raises(QueryError, match="no item has the id 999; hits show the ids of items"):
        copied.remove(ids=[999])
    # Followed: a hit shows its id, and the id removes it.
    from support.commands import run

    table = run("search", copied.root, "a red circle", "-k", 1).splitlines()
    assert table[1].split()[0] == "id"
    shown = int(table[2].split()[1])
    assert shown == copied.search("a red circle", k=1)[0].item_id
    assert copied.remove(ids=[shown]) == 1


def test_a_named_gpu_is_announced_as_experimental(tmp_path: Path) -> None:
    arguments = ["search", str(tmp_path / "none"), "a dog", "--device"]
    announced = CliRunner().invoke(cli.main.app, [*arguments, "cuda"])
    assert announced.stderr.splitlines()[0] == ("--device cuda is experimental: never run on a GPU")
    assert "experimental" not in CliRunner().invoke(cli.main.app, [*arguments, "cpu"]).output
