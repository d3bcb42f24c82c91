"""An untrained Whisper in the format of CTranslate2, as faster-whisper's repositories have it."""

from __future__ import annotations

import json
from pathlib import Path

from support.small_models.texts import byte_alphabet

WORDS, TIMESTAMPS = 50_257, 1_501
"""Numbers of tokens as in the multilingual models, whose special tokens have fixed ids."""

WIDTH, MEL_BANDS, POSITIONS, TOKENS = 16, 80, 1500, 448


def save_whisper(folder: Path, *, seed: int = 0) -> Path:
    """Convert an untrained Whisper with a byte tokenizer and save it.

    Args:
        folder: Created if it does not exist.
        seed: Other seeds give other weights.
    """
    import ctranslate2
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    tokens = _save_tokenizer(folder)
    end = tokens.index("<|endoftext|>")
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokens) + TIMESTAMPS,
            num_mel_bins=MEL_BANDS,
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=2 * WIDTH,
            decoder_ffn_dim=2 * WIDTH,
            max_source_positions=POSITIONS,
            max_target_positions=TOKENS,
            init_std=1.0,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=tokens.index("<|startoftranscript|>"),
        )
    )
    loader = ctranslate2.converters.transformers.WhisperLoader()
    spec = loader.get_model_spec(model.eval())
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [end]
    spec.config.lang_ids = [tokens.index(f"<|{language}|>") for language in _languages()]
    spec.config.alignment_heads = [(0, 0)]
    stamps = [f"<|{0.02 * number:.2f}|>" for number in range(TIMESTAMPS)]
    spec.register_vocabulary([*tokens, *stamps])
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(folder))
    _write_vocabulary(folder)
    return folder


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
