import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from timm.layers import GELUTanh, Mlp
from torch import nn
from torch.nn import functional

from retrieval.encoders.packed_layers import PackedAttention, PackedLinear, pack_layers

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN lacks bfloat16 here"
)


def rows(width: int) -> torch.Tensor:
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(1))


def assert_close(found: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(found.float(), want, atol=0.02, rtol=0.02)  # bfloat16: 8 bits


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("algorithm", ["none", "tanh"])
@torch.inference_mode()
def test_a_packed_layer_computes_the_layer_and_gelu(algorithm: str, bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 96, bias=bias)
    want = layer(rows(48))
    layer.to(torch.bfloat16)
    assert_close(PackedLinear(layer.weight, layer.bias)(rows(48).bfloat16()), want)
    found = PackedLinear(layer.weight, layer.bias, "gelu", algorithm)(rows(48).bfloat16())
    assert_close(found, functional.gelu(want, approximate=algorithm))


def sequence(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(48, 96), activation, nn.Linear(96, 48))


@pytest.mark.parametrize(
    ("block", "packed"),
    [
        (sequence(nn.GELU()), 2),
        (sequence(nn.GELU("tanh")), 2),
        (Mlp(48, 96), 2),
        (Mlp(48, 96, act_layer=GELUTanh), 2),
        (Mlp(48, 96, norm_layer=nn.LayerNorm), 2),
        (sequence(nn.ReLU()), 0),
        (Mlp(48, 96, act_layer=nn.SiLU), 0),
        (nn.Sequential(nn.Linear(48, 48), nn.GELU(), nn.LayerNorm(48)), 0),
    ],
)
@torch.inference_mode()
def test_blocks_compute_the_same_after_packing(block: nn.Module, packed: int) -> None:
    tower = nn.ModuleDict({"block": block.eval()})
    want = tower["block"](rows(48))
    tower.to(torch.bfloat16)
    pack_layers(tower)
    assert sum(isinstance(module, PackedLinear) for module in tower.modules()) == packed
    assert_close(tower["block"](rows(48).bfloat16()), want)


@pytest.mark.parametrize("masked", [False, True])
@torch.inference_mode()
def test_attention_computes_the_same_after_packing(masked: bool) -> None:
    torch.manual_seed(0)
    block = ResidualAttentionBlock(48, 4).eval()
    nn.init.normal_(block.attn.in_proj_bias)
    nn.init.normal_(block.attn.out_proj.bias)
    mask = torch.full((5, 5), -torch.inf).triu(1) if masked else None
    tokens = rows(48)
    first = tokens[:, :1]
    want, want_first = block(tokens, attn_mask=mask), block.attention(first, tokens, tokens)
    block.to(torch.bfloat16)
    pack_layers(block)
    assert type(block.attn) is PackedAttention
    assert_close(block(tokens.bfloat16(), attn_mask=mask), want)
    reduced = tokens.bfloat16()
    assert_close(block.attention(reduced[:, :1], reduced, reduced), want_first)


@pytest.mark.parametrize("options", [{"batch_first": False}, {"is_cross_attention": True}])
def test_other_attention_is_not_packed(options: dict[str, bool]) -> None:
    block = ResidualAttentionBlock(48, 4, **options).eval().to(torch.bfloat16)
    pack_layers(block)
    assert type(block.attn) is nn.MultiheadAttention
