import dataclasses

import pytest
import torch
from torchvision.models import resnet18, resnet50

from retrieval.encoders.mulan_sizes import MULAN_RESNET, ResNetSize
from retrieval.encoders.resnet import ResNetTower

OURS = {"conv1": "stem.0", "bn1": "stem.1"} | {f"layer{i + 1}": f"stages.{i}" for i in range(4)}


def renamed(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{OURS[first]}.{rest}"


def test_it_agrees_with_torchvision_on_a_grey_picture() -> None:
    torch.manual_seed(0)
    theirs = resnet18().eval()
    size = ResNetSize(width=64, blocks=(2, 2, 2, 2), bottleneck=False)
    tower = ResNetTower(dataclasses.replace(MULAN_RESNET, audio=size)).eval()
    weights = {
        renamed(name): value for name, value in theirs.state_dict().items() if name[:2] != "fc"
    }
    weights["stem.0.weight"] = weights["stem.0.weight"].sum(dim=1, keepdim=True)
    assert tower.load_state_dict(weights, strict=False).missing_keys == ["project.weight"]
    theirs.fc = tower.project
    picture = torch.randn(1, 64, 96)
    want = torch.nn.functional.normalize(theirs(picture[:, None].expand(1, 3, 64, 96)), dim=-1)
    torch.testing.assert_close(tower.embed_spectrograms(picture), want, atol=1e-5, rtol=1e-4)


def test_the_papers_tower_is_a_resnet_50_with_one_channel() -> None:
    with torch.device("meta"):
        tower, theirs = ResNetTower(MULAN_RESNET), resnet50()
    shapes = {renamed(n): tuple(p.shape) for n, p in theirs.named_parameters() if n[:2] != "fc"}
    assert shapes.pop("stem.0.weight") == (64, 3, 7, 7)
    shapes |= {"stem.0.weight": (64, 1, 7, 7), "project.weight": (128, 2048)}
    assert {name: tuple(p.shape) for name, p in tower.named_parameters()} == shapes


@pytest.mark.parametrize("bottleneck", [False, True])
def test_stages_double_the_channels_and_halve_the_picture(bottleneck: bool) -> None:
    size = ResNetSize(width=4, blocks=(1, 2, 1), bottleneck=bottleneck)
    tower = ResNetTower(dataclasses.replace(MULAN_RESNET, audio=size)).eval()
    stages = [tower.stem(torch.zeros(1, 1, 64, 128))]
    for stage in tower.stages:
        stages.append(stage(stages[-1]))
    wide = 4 if bottleneck else 1
    assert [tuple(rows.shape[1:]) for rows in stages] == [
        (4, 16, 32), (4 * wide, 16, 32), (8 * wide, 8, 16), (16 * wide, 4, 8)
    ]  # fmt: skip
