"""A small MuQ-MuLan of the package `muq`, and its two towers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.small_models.texts import attend

MUQ, ROBERTA = "OpenMuQ/MuQ-large-msd-iter", "xlm-roberta-base"
"""Names of the towers in its configuration."""

WIDTH = 16


def save_muq(folder: Path) -> Path:
    """Save the audio tower as its class does."""
    import torch
    from muq import MuQ, MuQConfig
    from transformers import Wav2Vec2ConformerConfig

    conformer = Wav2Vec2ConformerConfig(
        num_attention_heads=2,
        intermediate_size=WIDTH,
        hidden_size=WIDTH,
        conv_depthwise_kernel_size=3,
        position_embeddings_type="rotary",
    )
    config = MuQConfig(
        codebook_size=4,
        conv_dim=4,
        encoder_dim=WIDTH,
        encoder_depth=1,
        stat={"melspec_2048_mean": 6.8, "melspec_2048_std": 18.4},
        w2v2_config=json.loads(conformer.to_json_string(use_diff=False)),
    )
    torch.manual_seed(0)
    MuQ(config).save_pretrained(folder)
    return folder


def save_xlm_roberta(folder: Path) -> Path:
    """Save the text tower with a vocabulary of letters."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)] + list("éäñç東京タワー")
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters]
    vocabulary = [(word, -float(n > 3)) for n, word in enumerate(words)]
    tokenizer = XLMRobertaTokenizerFast(vocab=vocabulary, model_max_length=512)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=WIDTH,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = XLMRobertaModel(config)
    attend(model, "embeddings", 50.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_muq_mulan(folder: Path, parts: Path) -> Path:
    """Save the model, which names its towers as on the hub.

    Args:
        folder: Where it is saved.
        parts: Of the two models above; they come to `parts / MUQ` and `parts / ROBERTA`.
    """
    import torch
    from muq import MuQMuLan
    from muq.muq_mulan.muq_mulan import MuLanConfig, MuQMuLanConfig

    tower = {"dim": WIDTH, "tf_depth": 1, "heads": 2, "dim_head": 8}
    # Dictionaries inside, as when it is read from config.json: that is all the class can build.
    config = MuQMuLanConfig(
        mulan=asdict(MuLanConfig()),
        audio_model={"name": str(parts / MUQ), "model_dim": WIDTH, "use_layer_idx": -1},
        text_model={"name": str(parts / ROBERTA), "model_dim": WIDTH, "use_layer_idx": -1},
        audio_transformer=tower,
        text_transformer=tower,
    )
    torch.manual_seed(0)
    model = MuQMuLan(config).eval()
    _centre_texts(model.mulan)
    model.save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text())
    content["audio_model"]["name"], content["text_model"]["name"] = MUQ, ROBERTA
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def _centre_texts(mulan: Any) -> None:
    """Subtract the mean of texts, because means over an untrained tower's tokens are similar."""
    import torch

    from retrieval.encoders.probe_texts import PROBE_TEXTS

    with torch.no_grad():
        rows = torch.cat([mulan.text(raw_texts=[text]) for text in PROBE_TEXTS[:50]])
        mulan.text_to_latents.bias.copy_(-(mulan.text_to_latents.weight @ rows.mean(dim=0)))
