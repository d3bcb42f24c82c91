"""Spaces of encoders: their description in a collection, checks against it, and decode plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from retrieval.encoders.catalogue import BUNDLED
from retrieval.encoders.guard import check_text_tower
from retrieval.encoders.weights import json_digest
from retrieval.errors import ModelError, SpaceMismatchError
from retrieval.protocols import Encoder, reads_clips
from retrieval.types import AudioWindows, DecodePlan, Medium, Sampling, Space

POOLING = "unit-mean-of-frames"
"""Part of the digest of video spaces: another pooling makes other vectors."""


def make_slug(text: str) -> str:
    """Reduce a text to lower case, digits and single dashes, at most 40 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "model"


def make_space(encoder: Encoder, *, sampling: Sampling, windows: AudioWindows | None) -> Space:
    """Describe the space of an encoder under some options.

    Args:
        encoder: The encoder; its text tower is tested, unless it is a bundled one.
        sampling: Sampling of videos.
        windows: Windows of audio; None for the encoder's own.

    Raises:
        CollapsedEncoderError: The encoder maps all texts to almost the same vector.
        ModelError: The windows are longer than the encoder's, or of another sample rate.
    """
    windows = _checked_windows(encoder, windows)
    if encoder.spec not in BUNDLED:
        # The bundled models know the demo world only, so they embed other texts to similar vectors.
        check_text_tower(encoder)
    digest = _space_digest(encoder, sampling, windows)
    return Space(
        name=f"{make_slug(encoder.slug)}-{digest[:8]}",
        encoder=encoder.spec,
        dim=encoder.dim,
        media=encoder.media,
        digest=digest,
        sampling=sampling,
        windows=windows,
    )


def check_encoder(space: Space, encoder: Encoder) -> None:
    """Check that an encoder is the one that made a space.

    Raises:
        SpaceMismatchError: Its weights, preprocessing, tokenizer or dimension differ.
    """
    digest = _space_digest(encoder, space.sampling, space.windows)
    if (digest, encoder.dim) != (space.digest, space.dim):
        raise SpaceMismatchError(
            f"space {space.name} was made by {space.encoder} ({space.dim}-d, digest "
            f"{space.digest[:8]}), but {encoder.spec} is another model now ({encoder.dim}-d, "
            f"digest {digest[:8]}); restore its weights, or embed into a new collection"
        )


def decode_plan(pairs: Sequence[tuple[Space, Encoder]], *, sound_of_videos: bool) -> DecodePlan:
    """Collect the inputs of several spaces, for the decoders.

    Raises:
        ModelError: Two spaces sample videos differently, so that one pass cannot serve both.
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
                f"{space.name} with {space.sampling}; embed with the collection's sampling"
            )
    return of_videos[0].sampling if of_videos else Sampling()


def _checked_windows(encoder: Encoder, windows: AudioWindows | None) -> AudioWindows | None:
    own = encoder.windows
    if own is None or windows is None:
        return own
    if windows.sample_rate_hz != own.sample_rate_hz:
        raise ModelError(
            f"{encoder.spec} reads {own.sample_rate_hz} Hz, got windows of "
            f"{windows.sample_rate_hz} Hz"
        )
    if not 0 < windows.window_seconds <= own.window_seconds or windows.hop_seconds <= 0:
        raise ModelError(
            f"{encoder.spec} reads at most {own.window_seconds:g} s at a time, got windows of "
            f"{windows.window_seconds:g} s every {windows.hop_seconds:g} s; choose shorter ones"
        )
    return windows


def _space_digest(encoder: Encoder, sampling: Sampling, windows: AudioWindows | None) -> str:
    """Digest all settings that determine a vector; video sampling does not affect audio digests."""
    parts: dict[str, object] = {"encoder": encoder.digest}
    if Medium.VIDEO in encoder.media:
        pooling = asdict(encoder.clip_frames) if reads_clips(encoder) else POOLING
        parts |= {"sampling": asdict(sampling), "pooling": pooling}
    if Medium.AUDIO in encoder.media and windows is not None:
        parts["windows"] = asdict(windows)
    return json_digest(parts)
