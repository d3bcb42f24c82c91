"""Encoders opened for training: their towers, media readers, and how to save them."""

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
from retrieval.training.pairs.media import AudioReader, ImageReader, Sample, SpanReader
from retrieval.training.pairs.video_clips import VideoClipReader
from retrieval.training.tensors import half, write_tensors
from retrieval.types import Medium

MEDIA = {"clip": Medium.IMAGE, "mulan": Medium.AUDIO, "video": Medium.VIDEO}
"""What the media tower of each architecture reads."""

BACKENDS = {"clip": "open_clip", "mulan": "mulan", "video": "video-text"}
"""The catalogue's backend of each architecture."""

IMAGES, TEXT = "images", "text"
FREEZABLE = {"clip": ("image", TEXT), "mulan": ("audio", TEXT), "video": (IMAGES,)}
"""Towers that can be frozen; `images` is the image-text model that a video-text model extends."""


class TwoTowers(nn.Module):
    """The towers of a model; a frozen tower keeps its weights and its batch statistics.

    Args:
        model: Owns the weights, including `logit_scale`.
        media_tower: Name of the child that reads media; the other children are the text tower.
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
        if frozen == TEXT:  # open_clip's CLIP has weights of its text tower outside of children.
            for name, parameter in model.named_parameters(recurse=False):
                parameter.requires_grad_(name == "logit_scale")

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the inverse temperature."""
        return self.model.logit_scale  # type: ignore[return-value]

    def train(self, mode: bool = True) -> TwoTowers:
        """Set the training mode; frozen towers stay in evaluation mode."""
        super().train(mode)
        for child in self._frozen:
            child.eval()
        return self

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed prepared samples and tokens; return unit vectors and the inverse temperature."""
        return self.embed_media(media), self.embed_text(tokens), self.logit_scale.exp()


@dataclass(frozen=True, slots=True)
class TrainableModel:
    """An encoder opened for training.

    Attributes:
        digest: Digest of the encoder before training.
        towers: The module to train.
        reader: Decodes the media of the encoder.
        prepare: (n, …) decoded samples → input of the media tower.
        tokenize: Texts → input of the text tower.
        save: Writes a folder that the catalogue loads.
    """

    digest: str
    towers: TwoTowers
    reader: SpanReader
    prepare: Callable[[Sample], Tensor]
    tokenize: Callable[[Sequence[str]], Tensor]
    save: Callable[[Path], None]


def resolve_init(architecture: str, init: str, *, any_backend: bool = False) -> str:
    """Return the specification of the encoder to continue.

    Args:
        architecture: `clip`, `mulan` or `video`.
        init: A name of the catalogue, a specification, or the folder of a trained model.
        any_backend: Accept any encoder of the right medium, as adapters do.

    Raises:
        UnknownModelError: There is no such model, or none of this architecture.
    """
    folder = Path(init).expanduser()
    if init not in CATALOGUE and folder.is_dir():
        init = f"{_detect_backend(folder, architecture)}:{init}"
    backend = BACKENDS[architecture]
    specs = resolve(init)
    for spec in specs:
        if (BUNDLED.get(spec) or spec.partition(":")[0]) == backend:
            return spec
    if any_backend:
        return specs[-1] if MEDIA[architecture] is Medium.AUDIO else specs[0]
    raise UnknownModelError(
        f"{init} has no {backend} model to continue; expected tiny, {backend}:… or the folder of "
        "a trained model; an adapter accepts any encoder"
    )


def find_image_model(init: str) -> str | None:
    """Return the specification of the image-text model that a video-text model will extend.

    Returns:
        None if `init` is a video-text model itself.

    Raises:
        UnknownModelError: `init` is neither.
    """
    try:
        resolve_init("video", init)
    except UnknownModelError:
        return resolve_init("clip", init)
    return None


def choose_reader(architecture: str, encoder: Encoder) -> SpanReader:
    """Return the reader of an encoder's media.

    Raises:
        ModelError: The encoder does not embed the medium of this architecture.
    """
    if architecture == "clip" and encoder.geometry is not None:
        return ImageReader(encoder.geometry)
    if architecture == "mulan" and encoder.windows is not None:
        return AudioReader(encoder.windows)
    if architecture == "video" and encoder.geometry is not None and reads_clips(encoder):
        return VideoClipReader(encoder.geometry, encoder.clip_frames)
    medium = MEDIA[architecture].value
    raise ModelError(f"{encoder.spec} embeds no {medium}; choose another model to continue")


def open_trainable(
    architecture: str, spec: str, *, frozen: str | None, device: torch.device
) -> TrainableModel:
    """Open an encoder for training, in float32.

    Args:
        architecture: `clip`, `mulan` or `video`.
        spec: As `resolve_init` returns it.
        frozen: One of `FREEZABLE`, or None.
        device: The device to train on.

    Raises:
        ModelError: The encoder cannot be loaded or trained, or has no such tower.
    """
    check_frozen(architecture, frozen)
    # Encoders compute in float32 on a CPU; half precision would lose small steps.
    encoder: Any = load_encoder(spec, device="cpu")
    if isinstance(encoder, OpenClipEncoder):
        return _open_clip(encoder, frozen, device)
    if isinstance(encoder, MulanEncoder):
        return _open_mulan(encoder, frozen, device)
    if isinstance(encoder, VideoTextEncoder):
        return _open_video(encoder, frozen, device)
    raise ModelError(f"{spec} cannot be trained; an adapter accepts any encoder")


def check_frozen(architecture: str, frozen: str | None) -> None:
    """Refuse to freeze a tower that an architecture does not have.

    Raises:
        ModelError: There is no such tower.
    """
    towers = FREEZABLE[architecture]
    if frozen not in (None, *towers):
        expected = " or ".join(towers)
        raise ModelError(f"{architecture} has no tower {frozen!r} to freeze, expected {expected}")


def _open_clip(
    encoder: OpenClipEncoder, frozen: str | None, device: torch.device
) -> TrainableModel:
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

    return TrainableModel(
        digest=encoder.digest,
        towers=towers,
        reader=choose_reader("clip", encoder),
        prepare=encoder.prepare,
        tokenize=encoder.tokenize,
        save=save,
    )


def _open_mulan(encoder: MulanEncoder, frozen: str | None, device: torch.device) -> TrainableModel:
    model = encoder.model.to(device)

    def prepare(windows: NDArray[np.float32]) -> Tensor:
        samples = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
        pictures: Tensor = model.audio.log_mel(samples.to(device))
        return pictures

    def save(folder: Path) -> None:
        encoder.write_configuration(folder)
        write_tensors(folder / MULAN_WEIGHTS, half(model.state_dict()))

    return TrainableModel(
        digest=encoder.digest,
        towers=TwoTowers(model, "audio", model.audio.embed_spectrograms, model.text, frozen),
        reader=choose_reader("mulan", encoder),
        prepare=prepare,
        tokenize=encoder.tokenize,
        save=save,
    )


def _open_video(
    encoder: VideoTextEncoder, frozen: str | None, device: torch.device
) -> TrainableModel:
    model = encoder.model.to(device)
    towers = TwoTowers(model, IMAGES, model.embed_clips, model.embed_text, frozen)

    def prepare(clips: Sample) -> Tensor:
        prepared = encoder.images.prepare(clips.reshape(-1, *clips.shape[2:]))
        return prepared.view(*clips.shape[:2], *prepared.shape[1:])

    def save(folder: Path) -> None:
        config = encoder.config
        if frozen != IMAGES or config.images == IMAGES_FOLDER:
            images = folder / IMAGES_FOLDER
            images.mkdir(exist_ok=True)
            encoder.images.write_configuration(images)
            write_tensors(images / OPEN_CLIP_WEIGHTS, half(encoder.images.model.state_dict()))
            digest = load_encoder(f"open_clip:{images}", device="cpu").digest
            config = replace(config, images=IMAGES_FOLDER, images_digest=digest)
        write_config(config, folder)
        write_tensors(folder / VIDEO_WEIGHTS, half(model.own.state_dict()))

    return TrainableModel(
        digest=encoder.digest,
        towers=towers,
        reader=choose_reader("video", encoder),
        prepare=prepare,
        tokenize=encoder.tokenize,
        save=save,
    )


def _detect_backend(folder: Path, architecture: str) -> str:
    """Return the backend of a model folder by its files; otherwise that of the architecture."""
    if (folder / "adapter.json").is_file():
        return "adapter"
    if (folder / "open_clip_config.json").is_file():
        return BACKENDS["clip"]
    return BACKENDS[architecture]
