"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class TimeFormat(StrEnum):
    """How tables and CSV write times."""

    SECONDS = "seconds"
    HMS = "hms"


class Device(StrEnum):
    """Where models run, and where indexes are built and searched."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


CollectionArgument = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help="Folder made by `embed`.")
]
DeviceOption = Annotated[
    Device, typer.Option(help="Where models run; auto takes a GPU where there is one.")
]
IndexDeviceOption = Annotated[
    Device,
    typer.Option(
        help="Where models run and indexes are built or searched; auto takes a GPU where it helps."
    ),
]
LocalizerOption = Annotated[
    str,
    typer.Option(
        help="What finds moments: similarity, hammer, hammer:FOLDER; "
        "auto takes the package's Hammer where it has one for the collection's model."
    ),
]

Print0Option = Annotated[
    bool,
    typer.Option("--print0", help="Print paths alone, each ended by NUL: for `xargs -0`."),
]
TimeFormatOption = Annotated[
    TimeFormat | None,
    typer.Option(
        "--time-format",
        help="Times in tables and CSV: seconds, or hms as 0:01:02.500. Default: m:ss in tables, "
        "seconds in CSV.",
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help='SQL condition over the items\' columns: "year > 2020"; repeatable, all must hold.'
    ),
]
