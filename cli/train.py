"""`retrieval train`."""

from __future__ import annotations

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
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train the bundled music-text model: about 40 minutes on two cores."""
    from retrieval.training.mulan import train_tiny_music

    print(train_tiny_music(out, seed=seed, steps=steps, device=device.value, progress=_say))


@app.command()
def rerank(
    out: OutOption,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a re-ranker for `search --rerank tiny:DIR`: about two seconds a batch on one core."""
    from retrieval.training.rerank import train_tiny_rerank

    print(train_tiny_rerank(out, seed=seed, steps=steps, device=device.value, progress=_say))


def _say(line: str) -> None:
    typer.echo(line, err=True)
