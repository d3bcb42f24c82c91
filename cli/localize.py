"""The `retrieval localize` command."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cli.exporting import (
    CopyOption,
    Exporter,
    ExportOption,
    ForceOption,
    MergeOption,
    PadOption,
)
from cli.log_level import log_level
from cli.options import Device, DeviceOption, LocalizerOption, TextOption, TimeFormatOption
from cli.output import AnswerPrinter, Output
from retrieval.targets import TextMode


def localize(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos or recordings.")],
    query: Annotated[str, typer.Argument(help="Text to search for.")],
    model: Annotated[str, typer.Option(help="Model that embeds the file.")] = "small",
    k: Annotated[int, typer.Option("-k", help="Number of moments.")] = 5,
    output: Annotated[Output, typer.Option("--format", help="Output format.")] = Output.TABLE,
    time_format: TimeFormatOption = None,
    export: ExportOption = None,
    merge: MergeOption = None,
    pad: PadOption = 0.0,
    copy: CopyOption = False,
    force: ForceOption = False,
    localizer: LocalizerOption = "auto",
    text: TextOption = TextMode.AUTO,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Find the moments of one or several files that match QUERY, without a collection."""
    from retrieval.single_file import localize_files

    exporter = Exporter(export, merge, pad_seconds=pad, copy=copy, force=force)
    # The collection of the files is temporary; messages about its index are of no interest.
    with (
        log_level("retrieval.search.indexing", logging.WARNING),
        log_level("retrieval.texts", logging.WARNING),
    ):
        result = localize_files(
            videos, query, model=model, k=k, device=device.value, localizer=localizer, text=text
        )
    AnswerPrinter(output, time_format=time_format).print(result)
    exporter.add(result)
    exporter.run()
