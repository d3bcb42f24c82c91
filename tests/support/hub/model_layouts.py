"""Repositories in the layouts that transformers and muq read."""

from __future__ import annotations

import json
from pathlib import Path

from support.hub.open_clip_layouts import add_pickle, add_tokenizer_files, files_of, repository
from support.hub.repository import Repository
from support.small_models.blip import WORDS, save_blip
from support.small_models.muq import MUQ, ROBERTA, save_muq, save_muq_mulan, save_xlm_roberta
from support.small_models.sounds import save_clap
from support.small_models.texts import tokenizer_of_bytes
from support.small_models.videos import (
    make_pe_av,
    pe_av_video_processor,
    save_x_clip,
)
from support.small_models.whisper import save_whisper

SAFE, PICKLE = "model.safetensors", "pytorch_model.bin"

CLAP_GENERAL = "16c8cc3159a3c8a31e8ff5ef1f66b0d9ab3667db"
CLAP_SPEECH = "8a2acdbf328883b3cc38b575179e5950cf2deeb4"
BLIP = "98cf803d8586e8e8b3ec527885ac50c422d514ae"
"""Commits of pull requests by the hub's own converter; the weights on main are pickles."""


def pickled(folder: Path, licence: str | None) -> Repository:
    """Make a repository whose weights are a pickle."""
    add_pickle(folder, SAFE, PICKLE)
    return repository(folder, licence, SAFE)


def with_conversion(folder: Path, licence: str | None, ref: str, commit: str) -> Repository:
    """Make a repository with a pickle on main, and safetensors in a pull request."""
    weights = (folder / SAFE).read_bytes()
    main = pickled(folder, licence)
    return main.with_revision(ref, commit, files_of(main) | {SAFE: weights})


def clap(folder: Path) -> Path:
    """Save a CLAP without fusion, with the tokenizer files of its repositories."""
    model = save_clap(folder / "model", fusion=False)
    add_tokenizer_files(model)
    return model


def clap_general(folder: Path) -> Repository:
    """Make LAION's CLAP of music and sounds."""
    return with_conversion(clap(folder), "apache-2.0", "refs/pr/2", CLAP_GENERAL)


def clap_music_and_speech(folder: Path) -> Repository:
    """Make LAION's CLAP of music, sounds and speech."""
    return with_conversion(clap(folder), "apache-2.0", "refs/pr/1", CLAP_SPEECH)


def whisper(folder: Path) -> Repository:
    """Make Whisper small in the format of CTranslate2."""
    return repository(save_whisper(folder / "model"), "mit")


def clap_unfused(folder: Path) -> Repository:
    """Make an older CLAP with a pickle only."""
    return pickled(clap(folder), "apache-2.0")


def blip(folder: Path) -> Repository:
    """Make BLIP's image-text matching."""
    model = save_blip(folder / "model")
    (model / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (model / "special_tokens_map.json").write_text('{"unk_token": "[UNK]"}')
    return with_conversion(model, "bsd-3-clause", "refs/pr/5", BLIP)


def x_clip(folder: Path) -> Repository:
    """Make X-CLIP: both formats of weights, and an old processor configuration."""
    model = save_x_clip(folder / "model")
    add_tokenizer_files(model)
    add_pickle(model, SAFE, PICKLE)
    path = model / "preprocessor_config.json"
    old = json.loads(path.read_text())
    for name in ("image_processor_type", "size", "crop_size", "rescale_factor", "do_rescale"):
        old.pop(name, None)
    old |= {"feature_extractor_type": "VideoMAEFeatureExtractor", "size": 32, "crop_size": 32}
    path.write_text(json.dumps(old))
    return repository(model, "mit")


def pe_av(folder: Path) -> Repository:
    """Make PE-AV, whose processor_config.json describes all of its preprocessing."""
    from transformers import DacFeatureExtractor, PeAudioVideoProcessor

    model = folder / "model"
    make_pe_av().save_pretrained(model)
    PeAudioVideoProcessor(
        DacFeatureExtractor(), pe_av_video_processor(), tokenizer_of_bytes()
    ).save_pretrained(model)
    return repository(model, "apache-2.0")


def muq(folder: Path) -> Repository:
    """Make the audio tower of MuQ-MuLan."""
    return repository(save_muq(folder / "model"), "cc-by-nc-4.0")


def muq_mulan(folder: Path) -> Repository:
    """Make MuQ-MuLan, which names the repositories of its towers."""
    save_muq(folder / MUQ)
    save_xlm_roberta(folder / ROBERTA)
    return repository(save_muq_mulan(folder / "model", folder), "cc-by-nc-4.0")


def xlm_roberta(folder: Path) -> Repository:
    """Make the text tower of MuQ-MuLan under its current name."""
    model = save_xlm_roberta(folder / "model")
    add_pickle(model, SAFE, PICKLE)
    return repository(model, "mit")
