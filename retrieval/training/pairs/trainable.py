"""Models as the trainer takes them: opened from a specification, a tower frozen, saved again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE, load_encoder, resolve
from retrieval.encoders.mulan import WEIGHTS as MULAN_WEIGHTS
from retrieval.encoders.mulan import MulanEncoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.video_text import IMAGES as IMAGES_FOLDER
from retrieval.encoders.video_text import WEIGHTS as VIDEO_WEIGHTS
from retrieval.encoders.video_text import VideoTextEncoder, write_config
from retrieval.encoders.weights import OPEN_CLIP_WEIGHTS
from retrieval.errors import ModelError, UnknownModelError
from retrieval.protocols import Encoder, reads_clips
from retrieval.training.pairs.media import ClipReader, PictureReader, RecordingReader, Sample
from retrieval.training.pairs.video_clips import VideoClipReader
from retrieval.training.tensors import half, write_tensors
from retrieval.types import Medium

KINDS = {"clip": Medium.IMAGE, "mulan": Medium.AUDIO, "video": Medium.VIDEO}
"""What `train` calls its models, and what their towers beside text read."""

BACKENDS = {"clip": "open_clip", "mulan": "mulan", "video": "video-text"}
"""The catalogue's backend of each kind."""

IMAGES, TEXT = "images", "text"
FREEZABLE = {"clip": ("image", TEXT), "mulan": ("audio", TEXT), "video": (IMAGES,)}
"""Towers that can stay as they are; of a video-text model, all of the image-text model under it."""


class TwoTowers(nn.Module):
    """A model's towers side by side; a frozen one keeps its weights and its statistics.

    Args:
        model: Holds the weights, `logit_scale` among them.
        media_tower: Name of its child that reads media; its other children are the text tower.
        embed_media: (n, …) prepared samples → (n, dim) unit vectors.
        embed_text: (n, …) tokens → (n, dim) unit vectors.
        frozen: The media tower's medium or child, `text`, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        media_tower: str,
        embed_media: Callable[[Tensor], Tensor],
        embed_text: Callable[[Tensor], Tensor],
        frozen: str | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.embed_media = embed_media
        self.embed_text = embed_text
        self._frozen = [
            child
            for name, child in model.named_children()
            if frozen is not None and (name == media_tower) != (frozen == TEXT)
        ]
        for child in self._frozen:
            child.requires_grad_(False)
        if frozen == TEXT:  # open_clip's CLIP keeps some of its text tower's weights outside
            for name, parameter in model.named_parameters(recurse=False):
                parameter.requires_grad_(name == "logit_scale")

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the temperature's inverse."""
        return self.model.logit_scale  # type: ignore[return-value]

    def train(self, mode: bool = True) -> TwoTowers:
        """Switch to training; frozen towers go on as when they embed."""
        super().train(mode)
        for child in self._frozen:
            child.eval()
        return self

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Prepared samples and tokens → their unit vectors and the temperature's inverse."""
        return self.embed_media(media), self.embed_text(tokens), self.logit_scale.exp()


@dataclass(frozen=True, slots=True)
class Trainable:
    """A model opened for training.

    Attributes:
        spec: What it continues.
        digest: Of the encoder that it continues.
        towers: What is trained.
        reader: How its media are decoded.
        prepare: (n, …) decoded samples → the media tower's input.
        tokenize: Texts → the text tower's input.
        save: Writes a folder that the catalogue loads.
    """

    spec: str
    digest: str
    towers: TwoTowers
    reader: ClipReader
    prepare: Callable[[Sample], Tensor]
    tokenize: Callable[[Sequence[str]], Tensor]
    save: Callable[[Path], None]


def spec_of(kind: str, init: str, *, any_backend: bool = False) -> str:
    """The encoder that `--init` means.

    Args:
        kind: `clip`, `mulan` or `video`.
        init: A name of the catalogue, a specification, or a folder that `train` wrote.
        any_backend: Any encoder of the right medium will do, as for an adapter.

    Raises:
        UnknownModelError: None of these, or no encoder of this kind among them.
    """
    folder = Path(init).expanduser()
    if init not in CATALOGUE and folder.is_dir():
        init = f"{_backend_of(folder, kind)}:{init}"
    specs = resolve(init)
    for spec in specs:
        if (BUNDLED.get(spec) or spec.partition(":")[0]) == BACKENDS[kind]:
            return spec
    if any_backend:
        return specs[-1] if KINDS[kind] is Medium.AUDIO else specs[0]
    raise UnknownModelError(
        f"--init {init} has no {BACKENDS[kind]} model; `train {kind}` continues tiny, "
        f"{BACKENDS[kind]}:… or a folder that it wrote; any other encoder takes --adapter"
    )


def image_model_under(init: str) -> str | None:
    """The image-text model that a video-text model is to begin on.

    Returns:
        None where `--init` is a video-text model already.

    Raises:
        UnknownModelError: It is neither.
    """
    try:
        spec_of("video", init)
    except UnknownModelError:
        return spec_of("clip", init)
    return None


def reader_of(kind: str, encoder: Encoder) -> ClipReader:
    """How an encoder's media are decoded.

    Raises:
        ModelError: It does not embed what this kind of model reads.
    """
    if kind == "clip" and encoder.geometry is not None:
        return PictureReader(encoder.geometry)
    if kind == "mulan" and encoder.windows is not None:
        return RecordingReader(encoder.windows)
    if kind == "video" and encoder.geometry is not None and reads_clips(encoder):
        return VideoClipReader(encoder.geometry, encoder.clip_frames)
    raise ModelError(f"{encoder.spec} embeds no {KINDS[kind].value}; choose another --init")


def open_trainable(kind: str, spec: str, *, frozen: str | None, device: torch.device) -> Trainable:
    """Open a model for training, in float32.

    Args:
        kind: `clip`, `mulan` or `video`.
        spec: As `spec_of` gives it.
        frozen: The tower that stays as it is, one of `FREEZABLE`, or None.
        device: Where it is trained.

    Raises:
        ModelError: It cannot be loaded, or has no such tower.
    """
    check_frozen(kind, frozen)
    # On the processor, where encoders compute in float32; a GPU's half would lose small steps.
    encoder: Any = load_encoder(spec, device="cpu")
    if isinstance(encoder, OpenClipEncoder):
        return _clip(encoder, frozen, device)
    if isinstance(encoder, MulanEncoder):
        return _mulan(encoder, frozen, device)
    if isinstance(encoder, VideoTextEncoder):
        return _video(encoder, frozen, device)
    raise ModelError(f"{spec} cannot be trained further; --adapter takes any encoder")


def check_frozen(kind: str, frozen: str | None) -> None:
    """Make sure that a kind of model has the tower that is to be frozen.

    Raises:
        ModelError: It has not.
    """
    towers = FREEZABLE[kind]
    if frozen not in (None, *towers):
        raise ModelError(f"no tower {frozen!r} in a {kind}; --freeze takes {' or '.join(towers)}")


def _clip(encoder: OpenClipEncoder, frozen: str | None, device: torch.device) -> Trainable:
    model = encoder.model.to(device, memory_format=torch.channels_last)  # fastest for convolutions
    towers = TwoTowers(
        model,
        "visual",
        lambda media: model.encode_image(media, normalize=True),
        lambda tokens: model.encode_text(tokens, normalize=True),
        frozen,
    )

    def save(folder: Path) -> None:
        encoder.write_configuration(folder)
        write_tensors(folder / OPEN_CLIP_WEIGHTS, half(model.state_dict()))

    return Trainable(
        spec=encoder.spec,
        digest=encoder.digest,
        towers=towers,
        reader=reader_of("clip", encoder),
        prepare=encoder.prepare,
        tokenize=encoder.tokenize,
        save=save,
    )


def _mulan(encoder: MulanEncoder, frozen: str | None, device: torch.device) -> Trainable:
    model = encoder.model.to(device)

    def pictures(windows: NDArray[np.float32]) -> Tensor:
        sound = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
        drawn: Tensor = model.audio.log_mel(sound.to(device))
        return drawn

    def save(folder: Path) -> None:
        encoder.write_configuration(folder)
        write_tensors(folder / MULAN_WEIGHTS, half(model.state_dict()))

    return Trainable(
        spec=encoder.spec,
        digest=encoder.digest,
        towers=TwoTowers(model, "audio", model.audio.embed_spectrograms, model.text, frozen),
        reader=reader_of("mulan", encoder),
        prepare=pictures,
        tokenize=encoder.tokenize,
        save=save,
    )


def _video(encoder: VideoTextEncoder, frozen: str | None, device: torch.device) -> Trainable:
    model = encoder.model.to(device)
    towers = TwoTowers(model, IMAGES, model.embed_clips, model.embed_text, frozen)

    def prepare(clips: Sample) -> Tensor:
        prepared = encoder.images.prepare(clips.reshape(-1, *clips.shape[2:]))
        return prepared.view(*clips.shape[:2], *prepared.shape[1:])

    def save(folder: Path) -> None:
        config = encoder.config
        if frozen != IMAGES or config.images == IMAGES_FOLDER:
            beside = folder / IMAGES_FOLDER
            beside.mkdir(exist_ok=True)
            encoder.images.write_configuration(beside)
            write_tensors(beside / OPEN_CLIP_WEIGHTS, half(encoder.images.model.state_dict()))
            digest = load_encoder(f"open_clip:{beside}", device="cpu").digest
            config = replace(config, images=IMAGES_FOLDER, images_digest=digest)
        write_config(config, folder)
        write_tensors(folder / VIDEO_WEIGHTS, half(model.own.state_dict()))

    return Trainable(
        spec=encoder.spec,
        digest=encoder.digest,
        towers=towers,
        reader=reader_of("video", encoder),
        prepare=prepare,
        tokenize=encoder.tokenize,
        save=save,
    )


def _backend_of(folder: Path, kind: str) -> str:
    """What made a folder, by the files in it; else what makes this kind of model."""
    if (folder / "adapter.json").is_file():
        return "adapter"
    if (folder / "open_clip_config.json").is_file():
        return BACKENDS["clip"]
    return BACKENDS[kind]
