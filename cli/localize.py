"""`retrieval localize`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, DeviceOption, LocalizerOption, TimeFormatOption
from cli.output import AnswerPrinter, Output


def localize(
    video: Annotated[Path, typer.Argument(help="A video or a recording.")],
    query: Annotated[str, typer.Argument(help="What to look for in it.")],
    model: Annotated[str, typer.Option(help="The model that reads it.")] = "small",
    k: Annotated[int, typer.Option("-k", help="Moments to return.")] = 5,
    output: Annotated[Output, typer.Option("--format", help="How to print them.")] = Output.TABLE,
    time_format: TimeFormatOption = None,
    localizer: LocalizerOption = "auto",
    device: DeviceOption = Device.AUTO,
) -> None:
    """Find the moments of one file that answer QUERY, without a collection."""
    from retrieval.localization.single_file import localize_file

    result = localize_file(video, query, model=model, k=k, device=device.value, localizer=localizer)
    AnswerPrinter(output, time_format=time_format).print(result)
