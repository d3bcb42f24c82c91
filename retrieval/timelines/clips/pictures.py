"""Convert decoded frames to upright pictures that H.264 players show: 8 bits, 4:2:0, even sides."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from PIL import Image

PIXEL_FORMAT = "yuv420p"
_FULL_RANGE = 2

_TURNS = {1: "transpose=cclock", 2: "hflip,vflip", 3: "transpose=clock"}
"""Filters by counterclockwise quarter turns."""


class PictureFitter:
    """Converts frames one by one; their size and format may change.

    Args:
        aspect: Width divided by height of a source pixel.
        size: Width and height in pixels to fit into, with black borders; None keeps the size, and
            repeats the last row or column of an odd side.
    """

    def __init__(self, aspect: Fraction = Fraction(1), size: tuple[int, int] | None = None) -> None:
        self._aspect = aspect
        self._size = size
        self._key: tuple[Any, ...] | None = None
        self._graph: av.filter.Graph | None = None

    def aspect_of(self, picture: av.VideoFrame | Image.Image) -> Fraction:
        """Return the aspect of the pixels of a fitted frame."""
        if self._size is not None:
            return Fraction(1)
        return 1 / self._aspect if _quarter_turns(picture) % 2 else self._aspect

    def fit(self, picture: av.VideoFrame | Image.Image) -> av.VideoFrame:
        """Convert one frame; its time stamp is unset."""
        turns = _quarter_turns(picture)
        frame: Any = picture
        if self._size is None and not turns and _is_fit(picture):
            return frame  # type: ignore[no-any-return]
        if isinstance(picture, Image.Image):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")
        key = (frame.width, frame.height, frame.format.name, turns)
        if key != self._key or self._graph is None:
            self._graph, self._key = self._build(frame, turns), key
        frame.pts, frame.time_base = None, Fraction(1, 1_000)
        self._graph.push(frame)
        fitted: Any = self._graph.pull()
        fitted.pts = None
        return fitted  # type: ignore[no-any-return]

    def _build(self, frame: Any, turns: int) -> av.filter.Graph:
        steps = _TURNS[turns].split(",") if turns else []
        aspect = 1 / self._aspect if turns % 2 else self._aspect
        from_rgb = "rgb" in frame.format.name or frame.format.name.startswith(("gbr", "bgr", "pal"))
        colour = ":out_color_matrix=bt709:out_range=tv" if from_rgb else ":out_range=tv"
        if self._size is None:
            steps.append("pad=ceil(iw/2)*2:ceil(ih/2)*2")
            right = int((frame.height if turns % 2 else frame.width) % 2)
            bottom = int((frame.width if turns % 2 else frame.height) % 2)
            if right or bottom:
                steps.append(f"fillborders=right={right}:bottom={bottom}:mode=smear")
            steps.append(f"scale=iw:ih{colour}")
        else:
            width, height = self._size
            if aspect != 1:
                steps.append(f"scale=max(2\\,iw*{float(aspect):.6f}):ih")
            steps.append(
                f"scale={width}:{height}:force_original_aspect_ratio=decrease:"
                f"force_divisible_by=2:flags=bicubic{colour}"
            )
            steps.append(f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2")
        steps.append(f"format={PIXEL_FORMAT}")
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=Fraction(1, 1_000),
            )
        ]
        for step in steps:
            name, _, arguments = step.partition("=")
            nodes.append(graph.add(name, arguments or None))
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        return graph


def _is_fit(picture: av.VideoFrame | Image.Image) -> bool:
    """Whether a frame is encoded as it is."""
    if isinstance(picture, Image.Image) or picture.width % 2 or picture.height % 2:
        return False
    return picture.format.name == PIXEL_FORMAT and int(picture.color_range) != _FULL_RANGE


def _quarter_turns(picture: av.VideoFrame | Image.Image) -> int:
    """Return the counterclockwise quarter turns that show a frame upright."""
    return 0 if isinstance(picture, Image.Image) else round(picture.rotation / 90) % 4
