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
def hammer(
    out: OutOption,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="Train on these moments instead of the demo world: a file of TVR, ActivityNet "
            "Captions, QVHighlights, Charades-STA or TACoS."
        ),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder of ID.npy or ID.safetensors, (rows, dim) a video.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model that made the features; it embeds the queries.")
    ] = "tiny-image",
    validation: Annotated[
        Path | None, typer.Option(help="Held-out annotations; default: a tenth of the videos.")
    ] = None,
    row_seconds: Annotated[
        float | None,
        typer.Option(help="How long a row lasts; default: rows share a video's duration evenly."),
    ] = None,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Without the hierarchy: the ablation of the benchmark.")
    ] = False,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train the localizer of moments, on the demo world or on annotated videos."""
    from retrieval.errors import QueryError
    from retrieval.training.hammer_sources import train_annotated_hammer, train_demo_hammer

    if (annotations is None) != (features is None):
        raise QueryError("--annotations and --features go together")
    if annotations is not None and features is not None:
        report = train_annotated_hammer(
            out, annotations, features, model=model, validation=validation,
            row_seconds=row_seconds, seed=seed, steps=steps, flat=flat, device=device.value,
            progress=_say,
        )  # fmt: skip
    else:
        report = train_demo_hammer(
            out, seed=seed, steps=steps, flat=flat, model=model, device=device.value,
            progress=_say,
        )  # fmt: skip
    print(report)


def _say(line: str) -> None:
    typer.echo(line, err=True)
