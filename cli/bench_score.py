"""`retrieval bench score`."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import escaped, json_text

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScoreFormat(StrEnum):
    """The formats of `--format`."""

    JSON = "json"
    TABLE = "table"


def score(
    suite: Annotated[
        str,
        typer.Argument(
            help="qvhighlights, tvr, charades, activitynet, tacos, didemo, didemo-segments, "
            "windows, trec or pairs."
        ),
    ],
    predictions: Annotated[Path, typer.Option(help="File in the suite's official format.")],
    truth: Annotated[
        Path | None,
        typer.Option(help="Truth file of the official evaluator; optional for pairs."),
    ] = None,
    output: Annotated[
        ScoreFormat, typer.Option("--format", help="json, as the official file, or table.")
    ] = ScoreFormat.JSON,
) -> None:
    """Score a prediction file exactly like the official evaluator; no model is needed.

    Unusual input that the evaluator accepts is a warning on stderr. Input at which it stops is an
    error.
    """
    from benchmarks.score import FORMATS
    from retrieval.errors import QueryError

    if suite not in FORMATS:
        raise QueryError(f"no format called {suite!r}; there is: {', '.join(FORMATS)}")
    if truth is None and suite != "pairs":
        raise QueryError(f"{suite} needs a truth file; name it with --truth")
    document = importlib.import_module(FORMATS[suite]).score(predictions, truth)
    if output is ScoreFormat.JSON:
        print(json_text(document, indent=4))
    else:
        for name, value in _flat(document):
            print(f"{escaped(name):32}{escaped(value):>12}")


def _flat(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield each figure with the names of its groups."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value
