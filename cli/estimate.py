"""The `retrieval estimate` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Device, DeviceOption
from cli.output import Output, clock
from cli.progress import progress_bar
from cli.terminal import cell, console_for_tables, escaped, json_text

if TYPE_CHECKING:
    from retrieval.estimate.costs import Estimate, SpaceCost


def estimate(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...|COLLECTION", help="Files to embed, or a collection."),
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="Model, as in `embed`; repeatable. Default: small.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.01, help="Video frames sampled per second.")] = 2.0,
    clip_seconds: Annotated[
        float, typer.Option(min=0.1, help="Length of a video segment in seconds.")
    ] = 2.0,
    time: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure the models on some of the files.")
    ] = True,
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Estimate what embedding and indexing take: items, segments, disk, memory, time.

    Every file is counted; lengths come from a sample, sizes of indexes from formulae.
    """
    from retrieval.embedding.options import EmbedOptions
    from retrieval.estimate.costs import estimate_collection, estimate_sources
    from retrieval.types import Sampling

    with progress_bar() as progress:
        if len(sources) == 1 and (Path(sources[0]) / "CURRENT").is_file():
            found = estimate_collection(Path(sources[0]))
        else:
            options = EmbedOptions(
                models=tuple(model or ()),
                device=device.value,
                sampling=Sampling(fps, clip_seconds),
            )
            found = estimate_sources(sources, options, timed=time, progress=progress)
    if output is Output.JSON:
        print(json_text(found.as_json()))
    else:
        _print(found)


def _print(found: Estimate) -> None:
    from indexes.candidates import format_bytes

    played = {kind: f", {clock(seconds)}" for kind, seconds in found.seconds.items()}
    kinds = [f"{n} {kind}{played.get(kind, '')}" for kind, n in found.items.items() if n]
    media = "" if found.media_bytes is None else f", {format_bytes(found.media_bytes)}"
    print(f"items       {sum(found.items.values())} ({'; '.join(kinds) or 'none'}{media})")
    print(f"disk        {format_bytes(found.collection_bytes)} without an index")
    if found.embed_seconds is not None:
        print(f"time        {clock(found.embed_seconds)} to embed here")
    for note in found.notes:
        print(f"            {escaped(note)}")
    for cost in found.spaces:
        console_for_tables().print(_table(cost))


def _table(cost: SpaceCost) -> object:
    from rich.table import Table

    from indexes.candidates import format_bytes

    title = f"{cost.encoder}: {cost.segments} segments, {cost.frames} frames of {cost.dim} numbers"
    table = Table(title=cell(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("--kind", min_width=48)
    table.add_column("memory", justify="right")
    table.add_column("disk", justify="right")
    for size in cost.indexes:
        table.add_row(size.factory, format_bytes(size.memory_bytes), format_bytes(size.disk_bytes))
    return table
