"""The `retrieval diff` command."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Device, DeviceOption, WhereOption
from cli.output import path_of, plain_table
from cli.progress import progress_bar
from cli.terminal import PathCell, cell, console_for_tables, escaped, json_text
from retrieval.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from retrieval.search.diff import Diff, Side

MOVES_SHOWN = 6
"""Moves of one query that the table has room for."""


class Format(StrEnum):
    """How the comparison is printed."""

    TABLE = "table"
    JSON = "json"


def diff(
    old: Annotated[
        str,
        typer.Argument(
            help="Old side: a collection FOLDER, FOLDER@GENERATION, or a pattern such as "
            "'archive/*' for several collections."
        ),
    ],
    new: Annotated[str, typer.Argument(help="New side, likewise; may be the same folder.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of queries, as for `search`. Default: captions of OLD."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits to compare.")] = 10,
    spaces: Annotated[
        str | None,
        typer.Option(help="Space of each side: OLDS,NEWS. One name stands for both."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Search OLD exactly, to show what the index of NEW misses."),
    ] = False,
    to: Annotated[
        list[Target] | None,
        typer.Option(help="Type of the hits; repeatable. Default: image, music and video."),
    ] = None,
    where: WhereOption = None,
    most: Annotated[int, typer.Option(min=0, help="Queries to print, most changed first.")] = 10,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Show what a switch changes: run the same queries on OLD and NEW.

    Compares two collections, or groups of collections, of the same files, two generations, two
    models (--spaces), or an index with exact search (--exact). Items are matched by uri.
    """
    from retrieval.search.diff import diff as run
    from retrieval.search.options import SearchOptions
    from retrieval.search.query import read_queries

    asked = None if queries is None else [line.query for line in read_queries(queries)]
    old_space, new_space = _spaces(spaces)
    options = SearchOptions(to=to or (), k=k, where=where)
    with progress_bar() as progress:
        found = run(
            _side(old, old_space, exact=exact),
            _side(new, new_space),
            asked,
            options=options,
            device=device.value,
            progress=progress,
        )
    if output is Format.JSON:
        print(json_text(_as_json(found)))
    else:
        _print_table(found, most)


def _side(text: str, space: str | None, *, exact: bool = False) -> Side:
    from retrieval.collection_paths import expand, is_pattern
    from retrieval.search.diff import Side

    if not is_pattern(text):
        return Side.parse(text, space=space, exact=exact)
    root, *others = expand([text])
    return Side(root, space=space, exact=exact, others=tuple(others))


def _spaces(text: str | None) -> tuple[str | None, str | None]:
    """The names of `--spaces`, one for each side."""
    from retrieval.errors import QueryError

    if text is None:
        return None, None
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(names) > 2:
        raise QueryError(f"--spaces takes one name or two, as in OLDS,NEWS; got {text!r}")
    return names[0], names[-1]


def _as_json(found: Diff) -> dict[str, object]:
    """The object that `diff --format json` prints."""
    return {
        "old": found.old,
        "new": found.new,
        "k": found.k,
        "summary": {
            "queries": len(found.queries),
            "jaccard": round(found.jaccard, 4),
            "rbo": round(found.rbo, 4),
            "same_first": found.same_first,
            "unchanged": found.unchanged,
        },
        "queries": [asdict(query) for query in found.queries],
    }


def _print_table(found: Diff, most: int) -> None:
    shown = console_for_tables()
    count = len(found.queries)
    for side, name in (("old", found.old), ("new", found.new)):
        shown.print(f"{side} {escaped(name)}")
    shown.print(
        f"{count} queries, k = {found.k}: Jaccard {found.jaccard:.3f}, rank-biased overlap "
        f"{found.rbo:.3f}, same first hit {found.same_first}, unchanged {found.unchanged}"
    )
    changed = found.most_changed(most)
    if not changed:
        return
    shown.print(cell("changed most", style="italic"))
    table = plain_table()
    table.add_column("RBO", justify="right", no_wrap=True)
    table.add_column("Jaccard", justify="right", no_wrap=True)
    table.add_column("query", min_width=12)
    table.add_column("rank", no_wrap=True)
    table.add_column("where")
    for query in changed:
        first: list[RenderableType] = [
            f"{query.rbo:.3f}",
            f"{query.jaccard:.3f}",
            cell(query.query),
        ]
        for move in query.moves[:MOVES_SHOWN]:
            ranks = f"{move.old_rank or '-':>3} → {move.new_rank or '-':>3}"
            table.add_row(*first, ranks, PathCell(path_of(move.uri)))
            first = ["", "", ""]
        if len(query.moves) > MOVES_SHOWN:
            first[2] = first[2] or f"… {len(query.moves) - MOVES_SHOWN} more"
            table.add_row(*first)
    shown.print(table)
