"""The `retrieval dups` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Print0Option
from cli.output import Output, clock, item_of, names_of, path_of, paths_wanted, plain_table
from cli.several import CollectionsArgument, SkipDamagedOption
from cli.terminal import (
    CsvPrinter,
    PathCell,
    cell,
    console_for_tables,
    json_text,
    print_paths,
    quoted,
)

if TYPE_CHECKING:
    from retrieval.collection import Collection
    from retrieval.collection_group import CollectionGroup
    from retrieval.duplicates.groups import DuplicateGroup, DuplicateItem


def dups(
    collections: CollectionsArgument,
    threshold: Annotated[
        float, typer.Option(help="Minimum cosine of two images or matching segments.")
    ] = 0.95,
    min_seconds: Annotated[
        float, typer.Option(help="Minimum length of a span that two recordings or videos share.")
    ] = 4.0,
    share: Annotated[
        float, typer.Option(help="Minimum share of the shorter item in such spans.")
    ] = 0.5,
    space: Annotated[
        list[str] | None,
        typer.Option(help="Compare in this space; repeatable. Default: one per modality."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compare all rows, without the approximate index."),
    ] = False,
    output: Annotated[Output, typer.Option("--format", help="Output format.")] = (Output.TABLE),
    print0: Print0Option = False,
    out: Annotated[Path | None, typer.Option(help="Also write F.parquet or F.json.")] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Also write an HTML page of the largest groups.")
    ] = None,
    skip_damaged: SkipDamagedOption = False,
) -> None:
    """Find groups of near-duplicates: pictures, recordings and videos, with the seconds they share.

    A clip is a duplicate of the film it was cut from. Each item names the five that are most like
    it. `paths` prints all but the first of every group, which is the one to keep: missing files are
    neither, where any file of their group is there. Several collections are compared as one.
    """
    import retrieval
    from cli.progress import progress_bar
    from retrieval.duplicates.report import check_report, write_page, write_report
    from retrieval.files.writing import check_output

    output = paths_wanted(output, print0=print0)
    if out is not None:
        check_report(out)
    if gallery is not None:
        check_output(gallery)
    opened: Collection | CollectionGroup
    if len(collections) == 1:
        opened = retrieval.open(collections[0])
    else:
        opened = retrieval.open(collections, skip_damaged=skip_damaged)
    with progress_bar() as progress:
        groups = opened.duplicates(
            threshold,
            min_seconds=min_seconds,
            share=share,
            spaces=space or (),
            exact=exact,
            progress=progress,
        )
    _print_groups(groups, output, nul=print0)
    if out is not None:
        write_report(out, groups)
    if gallery is not None:
        names = ", ".join(map(str, collections))
        write_page(gallery, groups, title=f"Near-duplicates in {names}")


def _print_groups(groups: Sequence[DuplicateGroup], output: Output, *, nul: bool) -> None:
    from retrieval.duplicates.report import as_json

    if output is Output.JSON:
        print(json_text(as_json(groups)))
    elif output is Output.CSV:
        _print_csv(groups)
    elif output is Output.PATHS:
        spare = (
            item
            for first, *others in (group.items for group in groups)
            for item in others
            if first.missing or not item.missing
        )
        print_paths((path_of(item.uri) for item in spare), nul=nul)
    else:
        _print_table(groups)


def _print_csv(groups: Sequence[DuplicateGroup]) -> None:
    """One row per item, with its best match."""
    from retrieval.duplicates.report import are_named

    named = are_named(groups)
    names = (
        "group",
        "item_id",
        "uri",
        "modality",
        "space",
        "nearest",
        "score",
        "share",
        "overlaps",
    )
    printer = CsvPrinter((*names, *(["collection", "nearest_collection"] if named else [])))
    for number, group in enumerate(groups, 1):
        for item in group.items:
            best = item.matches[0]
            printer.row(
                (number, item.item_id, quoted(item.uri), group.modality, group.space, best.item_id,
                 best.score, best.share, _overlaps(item),
                 *([item.collection, best.collection] if named else []))
            )  # fmt: skip


def _print_table(groups: Sequence[DuplicateGroup]) -> None:
    shown = console_for_tables()
    items = [item for group in groups for item in group.items]
    names = names_of([*items, *(match for item in items for match in item.matches)])
    for number, group in enumerate(groups, 1):
        shown.print(cell(f"{number}. {len(group.items)} × {group.modality}", style="italic"))
        table = plain_table()
        for name in ("id", "score", "like"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("when", overflow="fold", min_width=11)
        table.add_column("where")
        for item in group.items:
            best = item.matches[0]
            table.add_row(
                item_of(item, names), f"{best.score:.3f}", item_of(best, names), _overlaps(item),
                PathCell(path_of(item.uri) + (" (missing)" if item.missing else "")),
            )  # fmt: skip
        shown.print(table)
    shown.print(f"{len(items)} items in {len(groups)} groups" if groups else "no near-duplicates")


def _overlaps(item: DuplicateItem) -> str:
    """Format the spans that an item shares with its best match: `0:12-0:34 = 0:00-0:22`."""
    return ", ".join(
        f"{clock(one.start_seconds)}-{clock(one.end_seconds)} = "
        f"{clock(one.other_start_seconds)}-{clock(one.other_end_seconds)}"
        for one in item.matches[0].overlaps
    )
