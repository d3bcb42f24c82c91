"""Byte tokenizers, and untrained text towers that distinguish texts."""

from __future__ import annotations

from typing import Any


def byte_alphabet() -> list[str]:
    """Return the characters of the 256 bytes in byte-level vocabularies."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def tokenizer_of_bytes() -> Any:
    """Return Roberta's tokenizer without merges."""
    from transformers import RobertaTokenizerFast

    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_alphabet()]
    tokenizer = RobertaTokenizerFast(
        vocab={token: number for number, token in enumerate(vocabulary)}, merges=[]
    )
    tokenizer.model_max_length = 60
    return tokenizer


def clip_tokenizer_of_bytes() -> Any:
    """Return CLIP's tokenizer without merges."""
    from transformers import CLIPTokenizerFast

    alphabet = byte_alphabet()
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizerFast(vocab={word: n for n, word in enumerate(words)}, merges=[])


def gemma_tokenizer_of_bytes() -> Any:
    """Return Gemma's tokenizer, as in SigLIP2, with letters and bytes only."""
    from tokenizers import processors
    from transformers import GemmaTokenizerFast

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    words += [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokenizer = GemmaTokenizerFast(
        vocab={word: n for n, word in enumerate(words)}, merges=[], padding_side="right"
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    tokenizer.model_max_length = 64
    return tokenizer


def attend(tower: Any, names: str = "attention", times: float = 40.0) -> None:
    """Sharpen the attention of an untrained text tower, which is collapsed otherwise."""
    import torch

    with torch.no_grad():
        for name, weight in tower.named_parameters():
            if names in name and weight.ndim == 2:
                weight.mul_(times)
