"""How answers are printed: a table for people, JSON and CSV for programs, paths for pipes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from retrieval.search.searcher import SearchResult
    from retrieval.types import Hit


WIDTH_OF_A_PIPE = 140
"""Columns of a table that no terminal limits."""


class Output(StrEnum):
    """The formats of `--format`."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"


def print_result(result: SearchResult, output: Output) -> None:
    """Print one query's hits to stdout."""
    from retrieval.columns import json_value

    if output is Output.TABLE:
        print_table(result)
    elif output is Output.JSON:
        print(json.dumps(as_json(result), ensure_ascii=False, default=json_value))
    elif output is Output.CSV:
        print_csv(result.hits)
    else:
        for hit in result.hits:
            print(location(hit))


def as_json(result: SearchResult) -> dict[str, object]:
    """The object that `search --format json` prints.

    `first_stage_score` is there only after a re-rank, `vector` only where it was asked for.
    """
    hits = [asdict(hit) for hit in result.hits]
    took = {s: round(value, 3) for s, value in asdict(result.took_ms).items() if value is not None}
    for hit in hits:
        if "rerank" not in took:
            del hit["first_stage_score"]
        vector = hit.pop("vector")
        if vector is not None:
            hit["vector"] = vector.tolist()
    return {"query": result.query, "hits": hits, "took_ms": took}


def print_table(result: SearchResult) -> None:
    """Print hits as a table as wide as the terminal; unlikely ones are dimmed and marked."""
    from rich.table import Table
    from rich.text import Text

    console = console_for_tables()
    table = Table(title=Text(result.query), title_justify="left", box=None, pad_edge=False)
    table.add_column("", justify="right", min_width=2)
    table.add_column("score", justify="right", min_width=7)
    table.add_column("what", min_width=13)
    table.add_column("when", justify="right", min_width=11)
    table.add_column("where", overflow="fold", min_width=24, ratio=1)
    table.add_column("caption", overflow="fold", min_width=16, ratio=1)
    for hit in result.hits:
        table.add_row(
            f"{hit.rank}",
            f"{hit.score:.3f}" + ("" if hit.likely else " ?"),
            hit.modality.value if hit.modality is hit.medium else f"{hit.modality} ({hit.medium})",
            span(hit),
            Text(hit.uri),
            Text(str(hit.metadata.get("caption") or "")),
            style="" if hit.likely else "dim",
        )
    console.print(table)
    if not result.hits:
        console.print("no item matches")


def console_for_tables() -> Console:
    """Standard output, as wide as the terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


def print_csv(hits: tuple[Hit, ...]) -> None:
    """Print hits as CSV with a header."""
    import csv

    names = ("rank", "score", "item_id", "uri", "modality", "medium", "start_seconds",
             "end_seconds", "space", "likely")  # fmt: skip
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([getattr(hit, name) for name in names] for hit in hits)


def span(hit: Hit) -> str:
    """The hit's time as people read it: `0:12-0:34`."""
    if hit.start_seconds is None or hit.end_seconds is None:
        return ""
    return f"{clock(hit.start_seconds)}-{clock(hit.end_seconds)}"


def clock(seconds: float) -> str:
    """Seconds as m:ss, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def location(hit: Hit) -> str:
    """The file, with a media fragment where the hit is a span: `film.mp4#t=12.0,34.5`."""
    if hit.start_seconds is None or hit.end_seconds is None:
        return hit.uri
    return f"{hit.uri}#t={hit.start_seconds:g},{hit.end_seconds:g}"
