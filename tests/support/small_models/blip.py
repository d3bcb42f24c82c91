"""A small BLIP with a vocabulary of eight words."""

from __future__ import annotations

from pathlib import Path

SIDE = 32
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "a", "red", "circle", "left", "of"]


def save_blip(folder: Path) -> Path:
    """Save a small BLIP as transformers does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForImageTextRetrieval,
        BlipImageProcessor,
    )

    torch.manual_seed(0)
    small = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2, "initializer_range": 0.3}  # fmt: skip
    config = BlipConfig(
        text_config={
            **small, "vocab_size": len(WORDS), "encoder_hidden_size": 24, "pad_token_id": 0,
            "bos_token_id": 1, "sep_token_id": 2, "max_position_embeddings": 16,
        },
        vision_config={**small, "image_size": SIDE, "patch_size": 8},
        image_text_hidden_size=16,
    )  # fmt: skip
    BlipForImageTextRetrieval(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=16).save_pretrained(folder)
    BlipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder
