"""The `retrieval train` command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Device, DeviceOption
from cli.terminal import console

if TYPE_CHECKING:
    from retrieval.training.pairs.options import PairsOptions
    from retrieval.training.run import Telling

app = typer.Typer(
    name="train",
    help="Train models: on your own pairs, or the bundled ones on the demo world.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ClipTower(StrEnum):
    """The towers of a CLIP."""

    IMAGE = "image"
    TEXT = "text"


class MulanTower(StrEnum):
    """The towers of a MuLan."""

    AUDIO = "audio"
    TEXT = "text"


class MulanSize(StrEnum):
    """The names of `retrieval.encoders.mulan_sizes`."""

    TINY = "tiny"
    AST = "mulan-ast"
    RESNET = "mulan-resnet"


class Augment(StrEnum):
    """The kinds of `retrieval.training.pairs.augmentation`."""

    SHIFT = "shift"
    GAIN = "gain"
    SPEC = "spec"
    MIXUP = "mixup"


OutOption = Annotated[Path, typer.Option(help="Folder to write the model to.")]
SeedOption = Annotated[int, typer.Option(help="Decides the data and the first weights.")]
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
        help="Manifest of pairs (CSV, TSV, JSONL, Parquet): path, caption, and for sound "
        "optionally start_seconds, end_seconds. Default: the demo world."
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
        "--adapter", help="Leave --init as it is and train a light adapter on its vectors: seconds."
    ),
]
BatchOption = Annotated[int, typer.Option(min=2, help="Pairs that are compared with each other.")]
MicroBatchOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pairs that go through the model at once: less memory, the same gradients."
    ),
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
    freeze: Annotated[
        ClipTower | None, typer.Option(help="Tower that stays as it is: image or text.")
    ] = None,
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

        _train(partial(train_tiny_image, out, seed=seed, steps=steps, device=device.value))
        return
    from retrieval.training.pairs.options import PairsOptions

    _train_on_pairs(
        PairsOptions(
            "clip", pairs, out, val, init, None if freeze is None else freeze.value, adapter,
            steps, batch_size, micro_batch, learning_rate, 0.0, seed, device.value,
        )
    )  # fmt: skip


@app.command()
def mulan(
    out: OutOption,
    pairs: PairsOption = None,
    val: ValOption = None,
    init: InitOption = None,
    freeze: Annotated[
        MulanTower | None, typer.Option(help="Tower that stays as it is: audio or text.")
    ] = None,
    adapter: AdapterOption = False,
    config: Annotated[
        MulanSize, typer.Option(help="Sizes of a model from nothing; all but tiny want a GPU.")
    ] = MulanSize.TINY,
    augment: Annotated[
        list[Augment] | None, typer.Option(help="Alter the sounds; may be repeated.")
    ] = None,
    batch_size: BatchOption = 128,
    micro_batch: MicroBatchOption = None,
    learning_rate: RateOption = None,
    mlm: Annotated[
        float,
        typer.Option(min=0, help="Weight of a masked-language-model loss on the captions (BERT)."),
    ] = 0.0,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a sound-text model on your pairs.

    Without --pairs: the bundled one on the demo world, about 40 minutes on two cores.
    """
    augmentation = tuple(kind.value for kind in augment or ())
    if pairs is None:
        _refuse_without_pairs(val, init, freeze, adapter, micro_batch, learning_rate)
        from retrieval.encoders.mulan_sizes import MULAN_SIZES
        from retrieval.training.bundled.music_text import train_tiny_music
        from retrieval.training.pairs.augmentation import choose_augmentation

        _train(
            partial(
                train_tiny_music,
                out,
                config=MULAN_SIZES[config.value],
                augmentation=choose_augmentation(augmentation),
                batch=batch_size,
                seed=seed,
                steps=steps,
                device=device.value,
                masked_language=mlm,
            )
        )
        return
    from retrieval.training.pairs.options import PairsOptions

    _train_on_pairs(
        PairsOptions(
            "mulan", pairs, out, val, init, None if freeze is None else freeze.value, adapter,
            steps, batch_size, micro_batch, learning_rate, mlm, seed, device.value, config.value,
            augmentation,
        )
    )  # fmt: skip


@app.command()
def video(
    out: OutOption,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Manifest of pairs (CSV, TSV, JSONL, Parquet): path, caption, and optionally "
            "start_seconds, end_seconds. Default: the demo world."
        ),
    ] = None,
    val: ValOption = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Video-text model to continue, a folder that `train video` wrote, or "
            "the image-text model to begin on: open_clip:NAME/TAG, or a folder. "
            "Default: tiny-image."
        ),
    ] = None,
    train_images: Annotated[
        bool,
        typer.Option("--train-images", help="Train the image-text model under it along."),
    ] = False,
    batch_size: BatchOption = 128,
    micro_batch: MicroBatchOption = None,
    learning_rate: RateOption = None,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a video-text model on your pairs: what moves, and what comes first.

    Without --pairs: a small one on the demo world, about 20 minutes on two cores.
    """
    if pairs is None:
        _refuse_without_pairs(val, init, train_images, micro_batch, learning_rate)
        from retrieval.training.bundled.video_text import train_tiny_video

        _train(partial(train_tiny_video, out, seed=seed, steps=steps, device=device.value))
        return
    from retrieval.training.pairs.options import PairsOptions

    frozen = None if train_images else "images"
    _train_on_pairs(
        PairsOptions(
            "video", pairs, out, val, init, frozen, False, steps, batch_size, micro_batch,
            learning_rate, 0.0, seed, device.value,
        )
    )  # fmt: skip


def _refuse_without_pairs(*given: object) -> None:
    from retrieval.errors import SourceError

    if any(given):
        raise SourceError(
            "--val, --init, --freeze, --adapter, --micro-batch and --learning-rate need --pairs: "
            "a manifest with the columns path and caption"
        )


def _train_on_pairs(options: PairsOptions) -> None:
    from retrieval.training.pairs.train import train_on_pairs

    _train(partial(train_on_pairs, options))


def _train(train: Callable[..., object]) -> None:
    """Call it with `telling`, show its progress, and print its report."""
    with _bar() as telling:
        report = train(telling=telling)
    print(report)


@contextmanager
def _bar() -> Iterator[Telling]:
    """A progress bar on stderr that changes its task with the work."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from retrieval.training.run import Telling

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
        TextColumn("{task.fields[note]}"), console=console(stderr=True),
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None, note="")

        def progress(what: str, done: int, total: int, note: str) -> None:
            if bar.tasks[0].description != what:
                bar.reset(task, description=what)
            bar.update(task, completed=done, total=total, note=note)

        yield Telling(lambda line: bar.console.print(line, markup=False, highlight=False), progress)


@app.command()
def rerank(
    out: OutOption,
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Train a re-ranker for `search --rerank tiny:DIR`: about half an hour of one core."""
    from retrieval.training.bundled.reranker import train_tiny_rerank

    print(train_tiny_rerank(out, seed=seed, steps=steps, device=device.value, progress=_say))


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
    from retrieval.training.moments.sources import train_annotated_hammer, train_demo_hammer

    if (annotations is None) != (features is None):
        raise QueryError("--annotations and --features go together")
    if annotations is not None and features is not None:
        train = partial(
            train_annotated_hammer, out, annotations, features,
            validation=validation, row_seconds=row_seconds,
        )  # fmt: skip
    else:
        train = partial(train_demo_hammer, out)
    _train(partial(train, model=model, seed=seed, steps=steps, flat=flat, device=device.value))


def _say(line: str) -> None:
    typer.echo(line, err=True)
