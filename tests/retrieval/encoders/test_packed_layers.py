import pytest
import torch
from timm.layers import GELUTanh, Mlp
from torch import nn
from torch.nn import functional

from retrieval.encoders.packed_layers import PackedLinear, pack_feed_forward

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
    assert_close(PackedLinear(layer)(rows(48).bfloat16()), want)
    found = PackedLinear(layer, "gelu", algorithm)(rows(48).bfloat16())
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
    pack_feed_forward(tower)
    assert sum(isinstance(module, PackedLinear) for module in tower.modules()) == packed
    assert_close(tower["block"](rows(48).bfloat16()), want)
