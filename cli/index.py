"""The `retrieval index` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Device, IndexDeviceOption, OnOption
from cli.progress import progress_bar
from cli.several import CollectionsArgument
from cli.terminal import console_for_tables

if TYPE_CHECKING:
    from retrieval.search.indexing.card import IndexCard


def index(
    collections: CollectionsArgument,
    kind: Annotated[
        str | None,
        typer.Option(
            help="auto, exact, a FAISS factory string such as IVF1024,SQ8, or CAGRA, which a GPU "
            "builds. Default: the kind of the last run; auto for the first one."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory limit of a search, such as 4G, without mapped vectors."),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the ten exact neighbours that texts and media find. [0.95]"),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(help="Milliseconds below which exact search is chosen."),
    ] = None,
    effort_seconds: Annotated[float, typer.Option(help="Time limit of the trials.")] = 600.0,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language of the texts, such as en or german: its words match in all their forms. "
            "none matches words as they are. Default: as in the last run; none for the first one."
        ),
    ] = None,
    device: IndexDeviceOption = Device.AUTO,
    on: OnOption = None,
) -> None:
    """Update the indexes of all spaces, whose kind is chosen by trial, and of the texts."""
    from retrieval.search.indexing.request import parse_bytes
    from retrieval.store.reader import Snapshot

    settings = {
        "kind": kind,
        "recall": recall,
        "memory": None if memory is None else parse_bytes(memory),
        "latency_ms": latency,
        "effort_seconds": effort_seconds,
        "language": language,
    }
    before = {root: Snapshot.open(root).manifest.generation for root in collections}
    cards = _index(collections, on, device, settings)
    for root, parts in cards.items():
        if len(cards) > 1:
            print(f"{root}:")
        for card in parts:
            print(card.summary())
            if card.trials and card.generation >= before[root]:  # a part that was kept is older
                _print_trials(card)


def _index(
    collections: Sequence[Path], on: str | None, device: Device, settings: dict[str, Any]
) -> dict[Path, list[IndexCard]]:
    """Index collections here, one after the other, or on a cluster."""
    import retrieval

    with progress_bar() as progress:
        if on is None:
            return {
                root: retrieval.open(root, device=device.value).index(**settings, progress=progress)
                for root in collections
            }
        from retrieval.engines.ray.indexing import index_on

        cards = index_on(collections, on, device=device.value, settings=settings, progress=progress)
        return {root: cards[root.absolute()] for root in collections}


def _print_trials(card: IndexCard) -> None:
    """What was tried, what it reached and why one was chosen; then recall against speed."""
    from rich.table import Table

    from retrieval.search.indexing.trial_plots import kind_name, plot_text

    table = Table(box=None, pad_edge=False, title_justify="left",
                  title=f"trials with {card.trials[0].rows:,} rows")  # fmt: skip
    table.add_column("index")
    kinds = list(card.trials[0].recall)
    columns = [*(f"recall@10 {kind}" for kind in kinds), "queries/s", "bytes/row", "build s"]
    for column in columns:
        table.add_column(column, justify="right")
    for trial in card.trials:
        table.add_row(
            kind_name(trial),
            *(f"{trial.recall[kind]:.3f}" for kind in kinds),
            f"{trial.queries_per_second:,.0f}",
            f"{trial.bytes_per_row:,.0f}",
            f"{trial.build_seconds:.1f}",
            style="" if trial.reached else "dim",
        )
    console_for_tables().print(table)
    print(plot_text(card.trials))
    measured = card.measured
    for kind, shares in measured.recall.items():
        line = ", ".join(f"recall@{k} {share:.3f}" for k, share in shares.items())
        print(f"{card.factory or 'exact'}, {kind} queries: {line}")
    for count, (median, late) in measured.latency_ms.items():
        print(f"{count} at once: {median:.1f} ms, 99th percentile {late:.1f} ms")
    print(
        f"{measured.bytes_per_row:,.0f} bytes a row in memory, at most {measured.peak_mib:,.0f} "
        f"MiB while building; chosen: {card.reason}"
    )
