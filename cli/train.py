"""The `retrieval train` command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Device, DeviceOption
from cli.progress import progress_bar

if TYPE_CHECKING:
    from retrieval.training.pairs.options import PairsOptions

app = typer.Typer(
    name="train",
    help="Train models: on your own pairs, or the bundled ones on the demo world.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ClipTower(StrEnum):
    """Towers of a CLIP."""

    IMAGE = "image"
    TEXT = "text"


class MulanTower(StrEnum):
    """Towers of a MuLan."""

    AUDIO = "audio"
    TEXT = "text"


class MulanSize(StrEnum):
    """Names of `retrieval.encoders.mulan_sizes`."""

    TINY = "tiny"
    AST = "mulan-ast"
    RESNET = "mulan-resnet"


class Augment(StrEnum):
    """Names of `retrieval.training.pairs.augmentation`."""

    SHIFT = "shift"
    GAIN = "gain"
    SPEC = "spec"
    MIXUP = "mixup"


OutOption = Annotated[Path, typer.Option(help="Folder to write the model to.")]
SeedOption = Annotated[int, typer.Option(help="Determines the data and the first weights.")]
StepsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Batches to train on; default: as the bundled model, ten passes over --pairs, "
        "or 400 for an adapter.",
    ),
]
PairsOption = Annotated[
    Path | None,
    typer.Option(
        help="Manifest of pairs (CSV, TSV, JSONL, Parquet): path, caption, and for recordings and "
        "videos optionally start_seconds, end_seconds. Default: the demo world."
    ),
]
ValOption = Annotated[
    Path | None,
    typer.Option(help="Manifest to score on; default: a tenth of the files of --pairs, held out."),
]
InitOption = Annotated[
    str | None,
    typer.Option(
        help="Model to continue: tiny, a folder that `train` wrote, or a specification as "
        "`embed --model` takes it. Default: new weights of the bundled model's size."
    ),
]
AdapterOption = Annotated[
    bool,
    typer.Option(
        "--adapter", help="Freeze --init and train a light adapter on its vectors: seconds."
    ),
]
BatchOption = Annotated[int, typer.Option(min=2, help="Pairs that are compared with each other.")]
MicroBatchOption = Annotated[
    int | None,
    typer.Option(min=1, help="Pairs that pass the model at once: less memory, the same gradients."),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        min=0, help="Peak learning rate; default: 1e-3, and 1e-5 for a model that is continued."
    ),
]


@app.command()
def clip(
    out: OutOption,
    pairs: PairsOption = None,
    val: ValOption = None,
    init: InitOption = None,
    freeze: Annotated[ClipTower | None, typer.Option(help="Tower to freeze.")] = None,
    adapter: AdapterOption = False,
    batch_size: BatchOption = 128,
    micro_batch: MicroBatchOption = None,
    learning_rate: RateOption = None,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train an image-text model on your pairs.

    Without --pairs: the bundled one on the demo world, about 40 minutes on two cores.
    """
    if pairs is None:
        _refuse_without_pairs(val, init, freeze, adapter, micro_batch, learning_rate)
        from retrieval.training.bundled.image_text import train_tiny_image

        with progress_bar() as progress:
            report = train_tiny_image(
                out, seed=seed, steps=steps, device=device.value, progress=progress
            )
        print(report)
        return
    from retrieval.training.pairs.options import PairsOptions

    _train_on_pairs(
        PairsOptions(
            "clip",
            pairs,
            out,
            validation=val,
            init=init,
            frozen=None if freeze is None else freeze.value,
            adapter=adapter,
            steps=steps,
            batch=batch_size,
            part_pairs=micro_batch,
            learning_rate=learning_rate,
            seed=seed,
            device=device.value,
        )
    )


@app.command()
def mulan(
    out: OutOption,
    pairs: PairsOption = None,
    val: ValOption = None,
    init: InitOption = None,
    freeze: Annotated[MulanTower | None, typer.Option(help="Tower to freeze.")] = None,
    adapter: AdapterOption = False,
    config: Annotated[
        MulanSize, typer.Option(help="Sizes of a new model; all but tiny need a GPU.")
    ] = MulanSize.TINY,
    augment: Annotated[
        list[Augment] | None, typer.Option(help="Augmentation of the sounds; repeatable.")
    ] = None,
    batch_size: BatchOption = 128,
    micro_batch: MicroBatchOption = None,
    learning_rate: RateOption = None,
    mlm: Annotated[
        float,
        typer.Option(min=0, help="Weight of a masked language model loss on the captions (BERT)."),
    ] = 0.0,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a sound-text model on your pairs.

    Without --pairs: the bundled one on the demo world, about 40 minutes on two cores.
    """
    augmentations = tuple(name.value for name in augment or ())
    if pairs is None:
        _refuse_without_pairs(val, init, freeze, adapter, micro_batch, learning_rate)
        from retrieval.encoders.mulan_sizes import MULAN_SIZES
        from retrieval.training.bundled.music_text import STEPS, MusicOptions, train_tiny_music
        from retrieval.training.pairs.augmentation import choose_augmentation

        options = MusicOptions(
            out,
            config=MULAN_SIZES[config.value],
            augmentation=choose_augmentation(augmentations),
            batch=batch_size,
            seed=seed,
            steps=steps or STEPS,
            device=device.value,
            masked_language=mlm,
        )
        with progress_bar() as progress:
            report = train_tiny_music(options, progress)
        print(report)
        return
    from retrieval.training.pairs.options import PairsOptions

    _train_on_pairs(
        PairsOptions(
            "mulan",
            pairs,
            out,
            validation=val,
            init=init,
            frozen=None if freeze is None else freeze.value,
            adapter=adapter,
            steps=steps,
            batch=batch_size,
            part_pairs=micro_batch,
            learning_rate=learning_rate,
            masked_language=mlm,
            seed=seed,
            device=device.value,
            size=config.value,
            augment=augmentations,
        )
    )


@app.command()
def video(
    out: OutOption,
    pairs: PairsOption = None,
    val: ValOption = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Video-text model to continue, a folder that `train video` wrote, or "
            "the image-text model to extend: open_clip:NAME/TAG, or a folder. "
            "Default: tiny-image."
        ),
    ] = None,
    train_images: Annotated[
        bool,
        typer.Option("--train-images", help="Train the image-text model as well."),
    ] = False,
    batch_size: BatchOption = 128,
    micro_batch: MicroBatchOption = None,
    learning_rate: RateOption = None,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a video-text model on your pairs, for motion and the order of events.

    Without --pairs: a small one on the demo world, about 20 minutes on two cores.
    """
    if pairs is None:
        _refuse_without_pairs(val, init, train_images, micro_batch, learning_rate)
        from retrieval.training.bundled.video_text import STEPS, train_tiny_video

        with progress_bar() as progress:
            report = train_tiny_video(
                out, seed=seed, steps=steps or STEPS, device=device.value, progress=progress
            )
        print(report)
        return
    from retrieval.training.pairs.options import PairsOptions

    _train_on_pairs(
        PairsOptions(
            "video",
            pairs,
            out,
            validation=val,
            init=init,
            frozen=None if train_images else "images",
            steps=steps,
            batch=batch_size,
            part_pairs=micro_batch,
            learning_rate=learning_rate,
            seed=seed,
            device=device.value,
        )
    )


def _refuse_without_pairs(*values: object) -> None:
    from retrieval.errors import SourceError

    if any(values):
        raise SourceError(
            "--val, --init, --freeze, --adapter, --micro-batch, --learning-rate and --train-images "
            "need --pairs: a manifest with the columns path and caption"
        )


def _train_on_pairs(options: PairsOptions) -> None:
    from retrieval.training.pairs.train import train_on_pairs

    with progress_bar() as progress:
        report = train_on_pairs(options, progress)
    print(report)
    print(f"use it with --model {report.spec}")


@app.command()
def rerank(
    out: OutOption,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a re-ranker for `search --rerank tiny:DIR`: about half an hour of one core."""
    from retrieval.training.bundled.reranker import STEPS, train_tiny_rerank

    with progress_bar() as progress:
        report = train_tiny_rerank(
            out, seed=seed, steps=steps or STEPS, device=device.value, progress=progress
        )
    print(report)


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
        Path | None,
        typer.Option(help="Folder with ID.npy or ID.safetensors, (rows, dim), of each video."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model of the features; it embeds the queries.")
    ] = "tiny-image",
    validation: Annotated[
        Path | None, typer.Option(help="Held-out annotations; default: a tenth of the videos.")
    ] = None,
    row_seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds per row of features; default: rows share a video's duration evenly."
        ),
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
    from retrieval.training.bundled.hammer import train_demo_hammer
    from retrieval.training.moments.annotations import train_annotated_hammer
    from retrieval.training.moments.objective import HammerSettings
    from retrieval.training.moments.train import HammerOptions

    if (annotations is None) != (features is None):
        raise QueryError("--annotations and --features go together")
    settings = HammerSettings(steps) if steps else HammerSettings()
    options = HammerOptions(out, settings, seed=seed, device=device.value)
    if flat:
        options = options.flat()
    with progress_bar() as progress:
        if annotations is not None and features is not None:
            report = train_annotated_hammer(
                options,
                annotations,
                features,
                model=model,
                validation=validation,
                row_seconds=row_seconds,
                progress=progress,
            )
        else:
            report = train_demo_hammer(options, model=model, progress=progress)
    print(report)
