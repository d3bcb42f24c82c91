"""Options that several commands share."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retrieval.targets import TextMode

logger = logging.getLogger(__name__)


class TimeFormat(StrEnum):
    """Format of times in tables and CSV."""

    SECONDS = "seconds"
    HMS = "hms"


class Device(StrEnum):
    """Device of models and indexes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def _collection_of(path: Path) -> Path:
    from retrieval.automatic.finding import collection_root

    return collection_root(path)


def _announce_gpu(device: Device) -> Device:
    if device is Device.CUDA:
        logger.warning("--device cuda is experimental: never run on a GPU")
    return device


CollectionArgument = Annotated[
    Path,
    typer.Argument(
        metavar="COLLECTION",
        help="Folder made by `embed`, or a folder of media that `search` was given.",
        callback=_collection_of,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        help="Device of the models. auto uses a GPU if there is one.", callback=_announce_gpu
    ),
]
IndexDeviceOption = Annotated[
    Device,
    typer.Option(
        help="Device of models and indexes. auto uses a GPU where it is faster.",
        callback=_announce_gpu,
    ),
]
LocalizerOption = Annotated[
    str,
    typer.Option(
        help="Method that finds moments: similarity, hammer, hammer:FOLDER. "
        "auto uses the bundled Hammer if it fits the collection's model."
    ),
]

Print0Option = Annotated[
    bool,
    typer.Option("--print0", help="Print only paths, each followed by NUL, for `xargs -0`."),
]
TextOption = Annotated[
    TextMode,
    typer.Option(
        help="auto: the words of a text query also match names, captions, tags and transcripts. "
        "off: vectors alone. only: words alone, without a model."
    ),
]
TimeFormatOption = Annotated[
    TimeFormat | None,
    typer.Option(
        "--time-format",
        help="Times in tables and CSV: seconds, or hms for 0:01:02.500. Default: m:ss in tables, "
        "seconds in CSV.",
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(help='SQL condition over item columns: "year > 2020". Repeatable; all must hold.'),
]
