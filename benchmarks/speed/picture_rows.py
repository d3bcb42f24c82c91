"""Writes vectors of real pictures and texts for the benchmark `index`.

`python -m benchmarks.speed.picture_rows FOLDER --rows 250000` reads the pictures of the folder that
the variable RETRIEVAL_REAL_DATA names: emoji with their names, photographs with captions, and
photographs with labels. It writes `rows.npy`, (rows, 256) float16 of unit length, `texts.npy`,
(texts, 256) float32, and `rows.txt`, which describes them.

The first rows are the pictures themselves. Each further row is a view of one: a random crop with
other colours. Half of the views are flipped, and into half of them a crop of a second picture is
pasted. The bundled model `tiny-image`, or another one, encodes every view; no row is computed from
other rows. `tiny-image` was trained on generated scenes only: its rows are the answers of a trained
network to real pictures, but it does not know what they show, and its texts are nearly equal.
`--adapter` therefore trains an adapter on the pictures and their texts first, which takes seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.datasets.emoji import PICTURES, read_emoji
from retrieval.encoders.adapter import AdapterEncoder
from retrieval.encoders.catalogue import BUNDLED, load_encoder
from retrieval.errors import RetrievalError, SourceError, UnknownModelError
from retrieval.media.images.fitting import fit
from retrieval.media.images.reading import read_image
from retrieval.protocols import Encoder
from retrieval.training.pairs.options import PairsOptions
from retrieval.training.pairs.train import train_on_pairs

logger = logging.getLogger(__name__)

DATA = "RETRIEVAL_REAL_DATA"
MODEL = "tiny-image"
MAX_SIDE = 256
"""Photographs are scaled down to this side: four times the input of the model."""

SEED_ROWS = 1_024
"""Number of rows whose views are drawn from one seed, so that fewer rows are a prefix."""

PHOTOGRAPH_SHARE = 0.25
"""Share of the views that show a photograph. 3 % of the pictures are photographs, but their crops
differ more than those of emoji."""

MIN_AREA, MAX_ASPECT = 0.3, 4 / 3
"""Smallest share of a picture that a crop shows, and the largest ratio by which it is distorted."""

PASTED_SHARE = 0.5
"""Share of the views into which a second picture is pasted."""

PASTED_SIDES = (0.25, 0.6)
"""Smallest and largest side of a pasted picture, as a share of the view."""

MAX_GAIN, MAX_OFFSET = 1.4, 30.0
"""Largest factor and largest offset of a colour channel, in grey levels."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Real pictures with texts.

    Attributes:
        images: RGB images, photographs last.
        photographs: Number of photographs.
        pairs: Pictures with their names, captions and labels. Emoji without a name are missing.
    """

    images: Sequence[Image.Image]
    photographs: int
    pairs: Sequence[tuple[Path, str]]

    @property
    def texts(self) -> list[str]:
        """Distinct names, captions and labels."""
        return list(dict.fromkeys(text for _, text in self.pairs))


def read_pictures(data: Path) -> Pictures:
    """Read emoji, photographs with captions and photographs with labels.

    Raises:
        SourceError: A folder or table is missing or in another format.
    """
    photos, labelled = data / "photos", data / "photos_labelled"
    try:
        emoji = sorted((data / "emoji" / PICTURES).glob("*.png"))
        names = [(each.file, each.name) for each in read_emoji(data / "emoji")]
        lines = (photos / "captions.jsonl").read_text("utf-8").splitlines()
        captions = [(photos / each["file"], each["caption"]) for each in map(json.loads, lines)]
        with (labelled / "labels.csv").open(newline="", encoding="utf-8") as table:
            labels = [(labelled / file, label) for file, label in csv.reader(table)]
        images = [read_image(str(path)) for path in emoji]
        images += [_read_photograph(path) for path, _ in (*captions, *labels)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{data} has not the expected pictures and captions: {error}") from error
    return Pictures(images, len(captions) + len(labels), [*names, *captions, *labels])


def _read_photograph(path: Path) -> Image.Image:
    image = read_image(str(path), draft_side=MAX_SIDE)
    image.thumbnail((2 * MAX_SIDE, MAX_SIDE), Image.Resampling.BICUBIC)
    return image


def views(pictures: Pictures, number: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw the `SEED_ROWS` views of one seed, (views, side, side, 3)."""
    rng = np.random.default_rng([seed, number])
    drawn = np.stack([_view(pictures, rng, side) for _ in range(SEED_ROWS)])
    gains = MAX_GAIN ** rng.uniform(-1, 1, (SEED_ROWS, 1, 1, 3)).astype(np.float32)
    offsets = rng.uniform(-MAX_OFFSET, MAX_OFFSET, (SEED_ROWS, 1, 1, 3)).astype(np.float32)
    return (drawn * gains + offsets).clip(0, 255).astype(np.uint8)


def _view(pictures: Pictures, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    view = _crop(pictures, rng, side)
    if rng.random() < PASTED_SHARE:
        smaller = round(side * rng.uniform(*PASTED_SIDES))
        left, top = (int(each) for each in rng.integers(side - smaller + 1, size=2))
        view.paste(_crop(pictures, rng, smaller), (left, top))
    return np.asarray(view)


def _crop(pictures: Pictures, rng: np.random.Generator, side: int) -> Image.Image:
    """Crop a random picture to a square, and flip half of the crops."""
    count, photographs = len(pictures.images), pictures.photographs
    first, last = 0, count - photographs
    if rng.random() < PHOTOGRAPH_SHARE:
        first, last = last, count
    image = pictures.images[int(rng.integers(first, last))]
    scale, aspect = np.sqrt(rng.uniform(MIN_AREA, 1)), np.sqrt(MAX_ASPECT ** rng.uniform(-1, 1))
    short = scale * min(image.size)
    width, height = min(image.width, short * aspect), min(image.height, short / aspect)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    crop = image.resize((side, side), Image.Resampling.BICUBIC, box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def train_adapter(folder: Path, pictures: Pictures, model: str) -> Encoder:
    """Train an adapter of a model on the pictures with their texts, and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption"])
        writer.writerows((path.resolve(), text) for path, text in pictures.pairs)
    out = folder / "adapter"
    train_on_pairs(PairsOptions("clip", folder / "pairs.csv", out, init=model, adapter=True))
    return load_encoder(f"adapter:{out}")


def describe_model(encoder: Encoder) -> str:
    """Name a model, and say whether it is bundled or has an adapter."""
    if isinstance(encoder, AdapterEncoder):
        return f"{describe_model(encoder.base)} with an adapter"
    return f"bundled {encoder.spec}" if encoder.spec in BUNDLED else encoder.spec


def write_rows(
    folder: Path, pictures: Pictures, rows: int, encoder: Encoder, seed: int = 0
) -> None:
    """Encode pictures, views and texts, and write the three files.

    Args:
        folder: Output folder; created if it is missing.
        pictures: The pictures and texts.
        rows: Number of rows.
        encoder: A model of square pictures.
        seed: Seed of the views and of the order of the texts.
    """
    geometry = encoder.geometry
    if geometry is None or geometry.width != geometry.height:
        raise UnknownModelError(f"{encoder.spec} does not embed square pictures; name a CLIP")
    folder.mkdir(parents=True, exist_ok=True)
    # Written under another name first: an interrupted run leaves no incomplete rows.
    partial = folder / "rows.npy.partial"
    array = np.lib.format.open_memmap(partial, "w+", np.float16, (rows, encoder.dim))
    originals = pictures.images[:rows]
    for first in range(0, len(originals), SEED_ROWS):
        block = np.stack([fit(each, geometry) for each in originals[first : first + SEED_ROWS]])
        array[first : first + len(block)] = encoder.encode_images(block)
    first = len(originals)
    for number in range(-(-(rows - first) // SEED_ROWS)):
        block = views(pictures, number, geometry.width, seed)[: rows - first]
        array[first : first + len(block)] = encoder.encode_images(block)
        first += len(block)
        if number % 10 == 9:
            logger.info("%d of %d rows written", first, rows)
    array.flush()
    texts = np.random.default_rng([seed]).permutation(pictures.texts).tolist()
    np.save(folder / "texts.npy", encoder.encode_text(texts))
    (folder / "rows.txt").write_text(f"real pictures by {describe_model(encoder)}\n")
    partial.rename(folder / "rows.npy")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.picture_rows")
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--rows", type=int, default=250_000, help="number of rows")
    parser.add_argument("--model", default=MODEL, help=f"the encoder; default {MODEL}")
    parser.add_argument(
        "--adapter", action="store_true", help="train an adapter on the pictures and texts first"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the views")
    options = parser.parse_args()
    if options.rows < 1:
        parser.error(f"--rows is {options.rows}, expected at least 1")
    data = os.environ.get(DATA)
    if not data:
        parser.error(f"{DATA} is not set; it names the folder of real pictures")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    try:
        pictures, encoder = read_pictures(Path(data)), load_encoder(options.model)
        if options.adapter:
            encoder = train_adapter(options.folder, pictures, options.model)
        write_rows(options.folder, pictures, options.rows, encoder, options.seed)
    except RetrievalError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
