"""Prints search results as a table, JSON, CSV or paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from cli.options import TimeFormat
from cli.terminal import (
    CsvPrinter,
    PathCell,
    cell,
    console_for_tables,
    escaped,
    json_text,
    print_paths,
    quoted,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from retrieval.duplicates.groups import DuplicateItem, Match
    from retrieval.search.searcher import SearchResult
    from retrieval.types import Hit

MIN_CAPTION_WIDTH = 72
"""Narrower terminals show no captions."""


TIME_COLUMNS = frozenset(
    {"start_seconds", "end_seconds", "matched_start_seconds", "matched_end_seconds"}
)
"""Columns of CSV that `--time-format` changes."""


class Output(StrEnum):
    """Output formats of a search."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"


class AnswerPrinter:
    """Prints the results of one or several queries.

    Args:
        output: Output format.
        time_format: Format of times. None means `m:ss` in tables and seconds in CSV.
        nul: End paths with NUL and escape nothing.
        numbered: Print the ids of the queries.
        named: Print the collection of each hit.
    """

    def __init__(
        self,
        output: Output,
        *,
        time_format: TimeFormat | None = None,
        nul: bool = False,
        numbered: bool = False,
        named: bool = False,
    ) -> None:
        self._output = output
        self._time_format = time_format
        self._nul = nul
        self._numbered = numbered
        self._named = named
        self._csv: CsvPrinter | None = None

    def print(self, result: SearchResult, qid: int | str | None = None) -> None:
        """Print the hits of one query."""
        if self._output is Output.TABLE:
            print_table(result, time_format=self._time_format, qid=qid)
        elif self._output is Output.JSON:
            from retrieval.search.result_json import as_json

            numbered = {"qid": qid} if self._numbered else {}
            print(json_text(numbered | as_json(result)))
        elif self._output is Output.CSV:
            self._print_csv(result.hits, qid)
        else:
            print_paths((path_of(hit.uri) for hit in result.hits), nul=self._nul)

    def print_document(self, document: dict[str, Any]) -> None:
        """Print the JSON document of a running server as `print` prints a result."""
        if self._output is Output.JSON:
            print(json_text({name: document[name] for name in ("query", "hits", "took_ms")}))
            return
        hits = [_as_object(hit) for hit in document["hits"]]
        self.print(cast("SearchResult", SimpleNamespace(query=document["query"], hits=hits)))

    def _print_csv(self, hits: Iterable[Hit], qid: int | str | None) -> None:
        names: tuple[str, ...] = (
            "rank", "score", "item_id", "uri", "modality", "medium", "start_seconds",
            "end_seconds", "space", "likely", "missing", "text_score",
        )  # fmt: skip
        names += ("collection",) if self._named else ()
        matched = ("matched_source", "matched_text", "matched_start_seconds", "matched_end_seconds")
        if self._csv is None:
            self._csv = CsvPrinter((*(["qid"] if self._numbered else []), *names, *matched))
        for hit in hits:
            row = {name: getattr(hit, name) for name in names}
            row["uri"] = quoted(hit.uri)
            for name in matched:
                field = name.removeprefix("matched_")
                row[name] = None if hit.matched is None else getattr(hit.matched, field)
            for name in row.keys() & TIME_COLUMNS:
                if self._time_format is TimeFormat.HMS and row[name] is not None:
                    row[name] = hms(row[name])
            self._csv.row([*([qid] if self._numbered else []), *row.values()])


def _as_object(hit: dict[str, Any]) -> SimpleNamespace:
    """Return the JSON object of a hit with the attributes of a `Hit`."""
    matched = hit["matched"] and SimpleNamespace(**hit["matched"])
    return SimpleNamespace(**(hit | {"matched": matched}))


def paths_wanted(output: Output, *, print0: bool) -> Output:
    """Combine `--print0` and `--format`.

    Raises:
        QueryError: The format is neither the default nor paths.
    """
    from retrieval.errors import QueryError

    if print0 and output not in (Output.TABLE, Output.PATHS):
        raise QueryError(f"--print0 prints paths; leave out --format {output}")
    return Output.PATHS if print0 else output


def print_table(
    result: SearchResult,
    *,
    time_format: TimeFormat | None = None,
    qid: int | str | None = None,
) -> None:
    """Print hits as a table. Hits that are not likely are dimmed and marked."""
    shown = console_for_tables()
    title = result.query if qid is None else f"{qid}: {result.query}"
    shown.print(cell(title, style="italic"))
    if not result.hits:
        shown.print("no item matches")
        return
    table = plain_table()
    for name in ("", "id", "score", "when"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("where")
    names = names_of(result.hits)
    with_texts = shown.width >= MIN_CAPTION_WIDTH
    if with_texts:
        table.add_column("text" if any(hit.matched for hit in result.hits) else "caption")
    for hit in result.hits:
        cells: list[RenderableType] = [
            f"{hit.rank}",
            item_of(hit, names),
            ("words" if hit.score is None else f"{hit.score:.3f}") + ("" if hit.likely else " ?"),
            span(hit, time_format),
            f"{hit.modality}" + ("" if hit.modality == hit.medium else f" ({hit.medium})"),
            PathCell(path_of(hit.uri) + (" (missing)" if hit.missing else "")),
        ]
        if with_texts:
            cells.append(text_of(hit))
        table.add_row(*cells, style="" if hit.likely else "dim")
    shown.print(table)


def item_of(hit: Hit | DuplicateItem | Match, names: Mapping[str, str]) -> str | Text:
    """Return the id of an item, with the short name of its collection if it has one."""
    name = getattr(hit, "collection", None)  # the JSON object of a server may lack it
    return f"{hit.item_id}" if name is None else cell(f"{names[name]}:{hit.item_id}")


def names_of(hits: Iterable[Hit | DuplicateItem | Match]) -> dict[str, str]:
    """Return short names of the collections of some hits or items."""
    names = [name for hit in hits if (name := getattr(hit, "collection", None)) is not None]
    if not names:
        return {}
    from retrieval.collection_paths import short_names

    return short_names(names)


def text_of(hit: Hit) -> Text:
    """Return the matching text of a hit with its words highlighted, else its caption."""
    if hit.matched is None:
        return cell(hit.metadata.get("caption") or "")
    shown, end = cell(f"{hit.matched.source}: "), 0
    for first, last in hit.matched.marks:
        shown.append(escaped(hit.matched.text[end:first]))
        shown.append(escaped(hit.matched.text[first:last]), style="bold yellow")
        end = last
    return shown.append(escaped(hit.matched.text[end:]))


def plain_table() -> Table:
    """Create a table without lines."""
    from rich.table import Table

    return Table(box=None, pad_edge=False)


def path_of(uri: str) -> str:
    """Convert a uri to a path, `archive.tar!member` for members; addresses stay unchanged."""
    from retrieval.media.names import is_address, uri_to_path

    return uri if is_address(uri) else uri_to_path(uri)


def span(hit: Hit, time_format: TimeFormat | None = None) -> str:
    """Format the times of a hit, such as `0:12-0:34`; empty for images."""
    if hit.start_seconds is None or hit.end_seconds is None:
        return ""
    write = clock
    if time_format is TimeFormat.HMS:
        write = hms
    elif time_format is TimeFormat.SECONDS:
        write = "{:.2f}".format
    return f"{write(hit.start_seconds)}-{write(hit.end_seconds)}"


def clock(seconds: float) -> str:
    """Format seconds as m:ss, or h:mm:ss from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def hms(seconds: float) -> str:
    """Format seconds as h:mm:ss.mmm."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{milliseconds / 1000:06.3f}"


def location(hit: Hit) -> str:
    """Return the path of a hit with a media fragment: `film.mp4#t=12.0,34.5`."""
    path = path_of(hit.uri)
    if hit.start_seconds is None or hit.end_seconds is None:
        return path
    return f"{path}#t={hit.start_seconds:g},{hit.end_seconds:g}"
