"""Clip vectors compared with transformers' X-CLIP and PE-AV on the same weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoProcessor,
    PeAudioVideoModel,
    XCLIPModel,
    XCLIPProcessor,
)

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.clips import ClipCutter
from retrieval.encoders.video_clip_encoder import VideoClipEncoder
from support.fidelity import TEXTS, assert_faithful, decoded_frames
from support.hub.layouts import RealLayouts
from support.media_files import make_picture, write_video

FPS = 8
Plain = Callable[[list[np.ndarray], list[str]], tuple[np.ndarray, np.ndarray]]


def plain_x_clip(folder: Path) -> Plain:
    model = XCLIPModel.from_pretrained(folder).eval()
    processor = XCLIPProcessor.from_pretrained(folder)

    def embed(clips: list[np.ndarray], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        videos = processor(videos=[list(clip) for clip in clips], return_tensors="pt")
        tokens = processor.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.inference_mode():
            # Without the prompts, that would give a text another vector for every video.
            return (
                model.get_video_features(**videos).pooler_output.numpy(),
                model.get_text_features(**tokens).pooler_output.numpy(),
            )

    return embed


def plain_pe_av(folder: Path) -> Plain:
    # from_pretrained of the whole class fails: it takes a buffer for a tied parameter.
    model = PeAudioVideoModel(AutoConfig.from_pretrained(folder)).eval()
    weights = load_file(folder / "model.safetensors")
    loaded, state = model.load_state_dict(weights, strict=False), model.state_dict()
    given = {state[name].data_ptr() for name in weights}
    assert loaded.unexpected_keys == []
    assert {state[name].data_ptr() for name in loaded.missing_keys} <= given  # tied
    processor = AutoProcessor.from_pretrained(folder)

    def embed(clips: list[np.ndarray], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        videos = processor.video_processor(
            [torch.from_numpy(clip).movedim(-1, 1) for clip in clips],
            do_sample_frames=False,
            return_tensors="pt",
        )
        tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            output = model.video_model(**videos, **tokens)  # the whole fails without sound
        return output.video_embeds.numpy(), output.text_video_embeds.numpy()

    return embed


MODELS: dict[str, tuple[str, Callable[[Path], Plain]]] = {
    "microsoft/xclip-base-patch32": ("xclip", plain_x_clip),
    "facebook/pe-av-small-16-frame": ("pe-av", plain_pe_av),
}


@pytest.fixture(scope="module", params=MODELS)
def both(
    request: pytest.FixtureRequest,
    real_layouts: RealLayouts,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[VideoClipEncoder, Plain]:
    backend, plain = MODELS[request.param]
    folder = real_layouts.copy(request.param, tmp_path_factory.mktemp("copy") / "model")
    encoder = load_encoder(f"{backend}:{folder}", device="cpu")
    assert isinstance(encoder, VideoClipEncoder)
    return encoder, plain(folder)


@pytest.mark.parametrize("size", [(64, 48), (48, 86), (33, 33)])
def test_clips_of_a_video(
    both: tuple[VideoClipEncoder, Plain], size: tuple[int, int], tmp_path: Path
) -> None:
    encoder, plain = both
    wanted = encoder.clip_frames.frames
    pictures = [np.asarray(make_picture(*size, seed=n // 4)) for n in range(3 * wanted)]
    if any(side % 2 for side in size):  # H.264 in YUV 4:2:0 has even sides
        pictures = [picture[:-1, :-1] for picture in pictures]
    path = write_video(tmp_path / "v.mp4", pictures, rate=FPS)
    seconds, frames = decoded_frames(path, encoder.geometry, FPS)
    cutter = ClipCutter(encoder.clip_frames, wanted / FPS)
    first, cut = cutter.add(seconds, frames)
    last, rest = cutter.finish()
    assert [*first, *last] == [0, wanted / FPS, 2 * wanted / FPS]
    with av.open(path) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    clips = [np.stack(shown[n * wanted : (n + 1) * wanted]) for n in range(3)]
    want, _ = plain(clips, ["a"])
    assert_faithful(encoder.encode_clips(np.concatenate([cut, rest])), want)


def test_texts(both: tuple[VideoClipEncoder, Plain]) -> None:
    encoder, plain = both
    frames, side = encoder.clip_frames.frames, encoder.geometry.height
    clip: Any = np.zeros((frames, side, side, 3), np.uint8)
    _, want = plain([clip], list(TEXTS))
    assert_faithful(encoder.encode_text(TEXTS), want)
