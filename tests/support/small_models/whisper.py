"""An untrained Whisper in the format of CTranslate2, as faster-whisper's repositories have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from support.small_models.texts import byte_alphabet

WORDS, TIMESTAMPS = 600, 1_501
WIDTH, HEADS, MEL_BANDS, POSITIONS, TOKENS = 16, 2, 80, 1_500, 448
WEIGHT_SCALE = 1.0
"""Weights of this size make the model speak, in words of its own."""


def save_whisper(folder: Path, *, seed: int = 0) -> Path:
    """Save an untrained Whisper and its tokenizer.

    Args:
        folder: Created if it does not exist.
        seed: Other seeds give other weights.
    """
    from ctranslate2.specs import WhisperSpec

    tokens = _save_tokenizer(folder)
    spec = WhisperSpec(1, HEADS, 1, HEADS)
    rng = np.random.default_rng(seed)
    for name, shape in _shapes(len(tokens) + TIMESTAMPS).items():
        is_matrix = len(shape) > 1
        scale = np.full(shape, float(name.endswith("gamma")))
        _set(spec, name, WEIGHT_SCALE * rng.normal(size=shape) if is_matrix else scale)
    end = tokens.index("<|endoftext|>")
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [end]
    spec.config.lang_ids = [tokens.index(f"<|{language}|>") for language in _languages()]
    spec.config.alignment_heads = [(0, 0)]
    stamps = [f"<|{0.02 * number:.2f}|>" for number in range(TIMESTAMPS)]
    spec.register_vocabulary([*tokens, *stamps])
    spec.validate()
    spec.save(str(folder))
    _write_vocabulary(folder)
    return folder


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights by the names of CTranslate2."""
    shapes: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (WIDTH, MEL_BANDS, 3),
        "encoder/conv1/bias": (WIDTH,),
        "encoder/conv2/weight": (WIDTH, WIDTH, 3),
        "encoder/conv2/bias": (WIDTH,),
        "encoder/position_encodings/encodings": (POSITIONS, WIDTH),
        "decoder/position_encodings/encodings": (TOKENS, WIDTH),
        "decoder/embeddings/weight": (vocabulary, WIDTH),
        "decoder/projection/weight": (vocabulary, WIDTH),
    }
    linear = {
        "self_attention/linear_0": (3 * WIDTH, WIDTH),
        "self_attention/linear_1": (WIDTH, WIDTH),
        "attention/linear_0": (WIDTH, WIDTH),
        "attention/linear_1": (2 * WIDTH, WIDTH),
        "attention/linear_2": (WIDTH, WIDTH),
        "ffn/linear_0": (2 * WIDTH, WIDTH),
        "ffn/linear_1": (WIDTH, 2 * WIDTH),
    }
    for tower in ("encoder", "decoder"):
        norms = ["layer_norm", "layer_0/self_attention/layer_norm", "layer_0/ffn/layer_norm"]
        norms += ["layer_0/attention/layer_norm"] if tower == "decoder" else []
        for norm in norms:
            shapes |= {f"{tower}/{norm}/{part}": (WIDTH,) for part in ("gamma", "beta")}
        for name, shape in linear.items():
            if tower == "decoder" or not name.startswith("attention"):
                shapes[f"{tower}/layer_0/{name}/weight"] = shape
                shapes[f"{tower}/layer_0/{name}/bias"] = shape[:1]
    return shapes


def _set(spec: Any, name: str, values: np.ndarray) -> None:
    """Set one variable of a specification by its path."""
    *path, last = name.split("/")
    for part in path:
        list_name, _, number = part.rpartition("_")
        is_listed = number.isdigit() and not hasattr(spec, part)
        spec = getattr(spec, list_name)[int(number)] if is_listed else getattr(spec, part)
    setattr(spec, last, values.astype(np.float32))


def _save_tokenizer(folder: Path) -> list[str]:
    """Save tokenizer.json and return its tokens in order."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    special = ["<|endoftext|>", "<|startoftranscript|>"]
    special += [f"<|{language}|>" for language in _languages()]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    words = byte_alphabet()
    words += [f"Ġword{number}" for number in range(WORDS - len(words) - 1)]
    words.append("")  # multilingual models have it, others do not
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return words + special


def _languages() -> list[str]:
    """Return the codes of the 99 languages."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    return [code for code in _LANGUAGE_CODES if code != "yue"]


def _write_vocabulary(folder: Path) -> None:
    """Write vocabulary.txt, which older converters wrote instead of vocabulary.json."""
    path = folder / "vocabulary.json"
    if path.exists():
        (folder / "vocabulary.txt").write_text("\n".join(json.loads(path.read_text())) + "\n")
        path.unlink()
