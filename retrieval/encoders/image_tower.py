"""Runs the image tower of an open_clip model on a CPU with less work and the same vectors."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.packed_layers import pack_layers

logger = logging.getLogger(__name__)

MIN_PARAMETERS = 20_000_000
"""Smaller towers stay in float32: decoding takes longer than they do."""

MIN_PICTURES = 8
"""Fewer pictures, such as those of a query, are encoded in float32, which needs no copy."""

MIN_COSINE = 0.999
"""Between the vectors of bfloat16 and float32."""

PROBES = 2

ImageTower = Callable[[Tensor], Tensor]
"""Maps (n, 3, height, width) float32 to (n, dim) features of any length."""


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32: AVX512-BF16 or AMX.

    oneDNN also accepts bfloat16 on processors without these instructions, and is slower there.
    """
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def reduced_tower(visual: nn.Module, size: tuple[int, int], *, spec: str) -> ImageTower:
    """Return what `image_tower` returns, or a faster function of a copy in bfloat16.

    The copy is used on a CPU that multiplies bfloat16, unless the vectors of generated pictures
    differ from those in float32.

    Args:
        visual: `visual` of a model of open_clip, in evaluation mode; it does not change.
        size: Height and width of its pictures.
        spec: Specification of the model, for the log.
    """
    tower = image_tower(visual)
    first = next(visual.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32 or not has_bfloat16():
        return tower
    if sum(parameter.numel() for parameter in visual.parameters()) < MIN_PARAMETERS:
        return tower
    copied = _in_bfloat16(visual)
    pack_layers(copied)
    reduced = image_tower(copied)
    cosine = _lowest_cosine(tower, reduced, size)
    if cosine >= MIN_COSINE:
        return reduced
    logger.info("%s: float32, because bfloat16 gives other vectors (cosine %.4f)", spec, cosine)
    return tower


def image_tower(visual: Any) -> ImageTower:
    """Return a function that computes the features of a tower, with its own weights."""
    dtype = next(visual.parameters()).dtype
    forward = partial(first_token_features, visual) if reads_first_token(visual) else visual

    def features(pixels: Tensor) -> Tensor:
        output = forward(pixels.to(dtype))
        # Towers of captioning models return the tokens, too.
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result

    return features


def reads_first_token(visual: nn.Module) -> bool:
    """Whether the features of a tower are those of the first token of its last block."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.output_tokens
        and visual.transformer.batch_first
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
    )


def first_token_features(visual: Any, pixels: Tensor) -> Tensor:
    """Compute the features of a tower for which `reads_first_token` holds.

    The last block computes only the first token, because the features do not depend on the others.
    In a ViT-B/32, this is 7% of the work.

    Args:
        visual: The tower.
        pixels: (n, 3, height, width), of the type of its weights.

    Returns:
        (n, dim), equal to the tower's own but for rounding.
    """
    *blocks, last = visual.transformer.resblocks
    tokens = visual._embeds(pixels)
    for block in blocks:
        tokens = block(tokens)
    normalized = last.ln_1(tokens)
    first = tokens[:, :1] + last.ls_1(last.attention(normalized[:, :1], normalized, normalized))
    first = first + last.ls_2(last.mlp(last.ln_2(first)))
    pooled: Tensor = visual._pool(first)[0]
    return pooled if visual.proj is None else pooled @ visual.proj


def _in_bfloat16(visual: nn.Module) -> nn.Module:
    """Copy a tower to bfloat16, without a second copy in float32."""
    tensors = [*visual.parameters(), *visual.buffers()]
    copies: dict[int, Tensor] = {}
    for tensor in tensors:
        converted = tensor.detach()
        if tensor.is_floating_point():
            converted = converted.to(torch.bfloat16)
        is_parameter = isinstance(tensor, nn.Parameter)
        copies[id(tensor)] = nn.Parameter(converted, False) if is_parameter else converted
    return copy.deepcopy(visual, dict(copies))


@torch.inference_mode()
def _lowest_cosine(exact: ImageTower, reduced: ImageTower, size: tuple[int, int]) -> float:
    """Compare two towers on generated pictures with coarse and fine structure."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(PROBES, 3, 8, 8, generator=random)
    pictures = functional.interpolate(coarse, size, mode="bicubic")
    pictures += 0.2 * torch.randn(PROBES, 3, *size, generator=random)
    try:
        features = reduced(pictures).float()
    except RuntimeError:  # an operation without bfloat16
        return -1.0
    return float(functional.cosine_similarity(features, exact(pictures)).min())
