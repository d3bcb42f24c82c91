"""`retrieval train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, DeviceOption

app = typer.Typer(
    name="train",
    help="Train models on the demo world.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class MulanSize(StrEnum):
    """The names of `retrieval.encoders.mulan_sizes`."""

    TINY = "tiny"
    AST = "mulan-ast"
    RESNET = "mulan-resnet"


class Augment(StrEnum):
    """The kinds of `retrieval.training.augmentation`."""

    SHIFT = "shift"
    GAIN = "gain"
    SPEC = "spec"
    MIXUP = "mixup"


OutOption = Annotated[Path, typer.Option(help="Folder to write the model to.")]
SeedOption = Annotated[int, typer.Option(help="Decides the data and the first weights.")]
StepsOption = Annotated[
    int | None, typer.Option(min=1, help="Batches to train on; default: as the bundled model.")
]


@app.command()
def clip(
    out: OutOption,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train the bundled image-text model: about 40 minutes on two cores."""
    from retrieval.training.clip import train_tiny_image

    print(train_tiny_image(out, seed=seed, steps=steps, device=device.value, progress=_say))


@app.command()
def mulan(
    out: OutOption,
    config: Annotated[MulanSize, typer.Option(help="Sizes; all but tiny want a GPU.")] = (
        MulanSize.TINY
    ),
    augment: Annotated[
        list[Augment] | None, typer.Option(help="Alter the sounds; may be repeated.")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Pairs of a batch.")] = 128,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a music-text model: the bundled one in 40 minutes on two cores."""
    from retrieval.encoders.mulan_sizes import MULAN_SIZES
    from retrieval.training.augmentation import choose_augmentation
    from retrieval.training.mulan import train_tiny_music

    report = train_tiny_music(
        out,
        config=MULAN_SIZES[config.value],
        augmentation=choose_augmentation([kind.value for kind in augment or []]),
        batch=batch,
        seed=seed,
        steps=steps,
        device=device.value,
        progress=_say,
    )
    print(report)


def _say(line: str) -> None:
    typer.echo(line, err=True)
