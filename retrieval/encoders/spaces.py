"""Encoder + options → space: what a collection remembers, and the checks that hold it to that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from retrieval.encoders.catalogue import BUNDLED
from retrieval.encoders.guard import check_text_tower
from retrieval.encoders.weights import digest_of
from retrieval.errors import ModelError, SpaceMismatchError
from retrieval.protocols import Encoder, reads_clips
from retrieval.types import AudioWindows, DecodePlan, Medium, Sampling, Space

POOLING = "unit-mean-of-frames"
"""Part of every video space's digest: another way of pooling makes other vectors."""


def slug_of(text: str) -> str:
    """Lower case, digits and single dashes, at most 40 characters: fit for a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "model"


def make_space(encoder: Encoder, *, sampling: Sampling, windows: AudioWindows | None) -> Space:
    """Describe the space that an encoder spans under some options.

    Args:
        encoder: Its text tower is tested on the way, unless it is a bundled one.
        sampling: How videos will be sampled.
        windows: How sound will be cut; None: as the encoder wants it.

    Raises:
        CollapsedEncoderError: All texts look alike to the encoder.
        ModelError: The windows are longer than the encoder hears, or of another sample rate.
    """
    windows = _checked_windows(encoder, windows)
    if encoder.spec not in BUNDLED:
        # The bundled models know their demo world only: to them the wide world's texts do look
        # alike, and `bench run demo` measures them instead.
        check_text_tower(encoder)
    digest = _space_digest(encoder, sampling, windows)
    return Space(
        name=f"{slug_of(encoder.slug)}-{digest[:8]}",
        encoder=encoder.spec,
        dim=encoder.dim,
        media=encoder.media,
        digest=digest,
        sampling=sampling,
        windows=windows,
    )


def check_encoder(space: Space, encoder: Encoder) -> None:
    """Make sure that an encoder is the one a space was made with.

    Raises:
        SpaceMismatchError: Its weights, preprocessing, tokenizer or dimension are others.
    """
    digest = _space_digest(encoder, space.sampling, space.windows)
    if (digest, encoder.dim) != (space.digest, space.dim):
        raise SpaceMismatchError(
            f"space {space.name} was made by {space.encoder} ({space.dim}-d, digest "
            f"{space.digest[:8]}), but {encoder.spec} is another model now ({encoder.dim}-d, "
            f"digest {digest[:8]}); bring back its weights, or embed into a new collection"
        )


def decode_plan(pairs: Sequence[tuple[Space, Encoder]], *, sound_of_videos: bool) -> DecodePlan:
    """Collect what the decoders must produce for some spaces.

    Raises:
        ModelError: Two spaces sample videos differently; one pass cannot serve both.
    """
    plan = DecodePlan(
        sampling=_common_sampling([space for space, _ in pairs]), sound_of_videos=sound_of_videos
    )
    for space, encoder in pairs:
        if encoder.geometry is not None:
            if Medium.IMAGE in space.media:
                plan.images[space.name] = encoder.geometry
            if Medium.VIDEO in space.media:
                plan.frames[space.name] = encoder.geometry
        if space.windows is not None and Medium.AUDIO in space.media:
            plan.audio[space.name] = space.windows
    return plan


def _common_sampling(spaces: Sequence[Space]) -> Sampling:
    of_videos = [space for space in spaces if Medium.VIDEO in space.media]
    for space in of_videos[1:]:
        if space.sampling != of_videos[0].sampling:
            raise ModelError(
                f"space {of_videos[0].name} samples videos with {of_videos[0].sampling}, "
                f"{space.name} with {space.sampling}; embed with the sampling the collection has"
            )
    return of_videos[0].sampling if of_videos else Sampling()


def _checked_windows(encoder: Encoder, windows: AudioWindows | None) -> AudioWindows | None:
    own = encoder.windows
    if own is None or windows is None:
        return own
    if windows.sample_rate_hz != own.sample_rate_hz:
        raise ModelError(
            f"{encoder.spec} hears {own.sample_rate_hz} Hz, got windows of "
            f"{windows.sample_rate_hz} Hz"
        )
    if not 0 < windows.window_seconds <= own.window_seconds or windows.hop_seconds <= 0:
        raise ModelError(
            f"{encoder.spec} hears at most {own.window_seconds:g} s at a time, got windows of "
            f"{windows.window_seconds:g} s every {windows.hop_seconds:g} s; choose shorter ones"
        )
    return windows


def _space_digest(encoder: Encoder, sampling: Sampling, windows: AudioWindows | None) -> str:
    """Cover what decides a stored vector; how videos are sampled is nothing to sound."""
    parts: dict[str, object] = {"encoder": encoder.digest}
    if Medium.VIDEO in encoder.media:
        pooling = asdict(encoder.clip_frames) if reads_clips(encoder) else POOLING
        parts |= {"sampling": asdict(sampling), "pooling": pooling}
    if Medium.AUDIO in encoder.media and windows is not None:
        parts["windows"] = asdict(windows)
    return digest_of(parts)
