"""The convolutional audio tower of a MuLan: a ResNet (1512.03385) over log-mel spectrograms."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from retrieval.encoders.mulan_sizes import MulanConfig, ResNetSize


class ResNetTower(nn.Module):
    """ResNet on one channel, averaged over bands and frames; ResNet-50 as in MuLan (2208.12415).

    Convolutions share weights over time and pitch, so it needs far fewer recordings to train than
    a transformer over patches.
    """

    def __init__(self, config: MulanConfig) -> None:
        super().__init__()
        size = config.audio
        assert isinstance(size, ResNetSize)  # checked by `make_audio_tower`
        self.log_mel = config.log_mel()
        self.stem = nn.Sequential(
            nn.Conv2d(1, size.width, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(size.width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.stages = nn.Sequential(*_make_stages(size))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.project = nn.Linear(_channels(size)[-1], config.dim, bias=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed (n, window_samples) float32 windows as (n, dim) unit vectors."""
        return self.embed_spectrograms(self.log_mel(windows))

    def embed_spectrograms(self, spectrograms: Tensor) -> Tensor:
        """Embed (n, mel_bands, frames) log-mel spectrograms as (n, dim) unit vectors."""
        pooled = self.stages(self.stem(spectrograms[:, None])).mean(dim=(2, 3))
        return functional.normalize(self.project(pooled), dim=-1)


def _channels(size: ResNetSize) -> list[int]:
    """Return the channels after the stem and after each stage."""
    expansion = Bottleneck.expansion if size.bottleneck else BasicBlock.expansion
    return [size.width, *(expansion * (size.width << stage) for stage in range(len(size.blocks)))]


def _make_stages(size: ResNetSize) -> list[nn.Module]:
    """Build the residual stages; all but the first halve the height and width."""
    block = Bottleneck if size.bottleneck else BasicBlock
    stages: list[nn.Module] = []
    for stage, (inside, outside) in enumerate(pairwise(_channels(size))):
        width, stride = size.width << stage, 1 if stage == 0 else 2
        shortcut = None
        if inside != outside or stride > 1:
            shortcut = nn.Sequential(
                nn.Conv2d(inside, outside, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(outside),
            )
        blocks = [block(inside, width, stride, shortcut)]
        blocks += [block(outside, width) for _ in range(1, size.blocks[stage])]
        stages.append(nn.Sequential(*blocks))
    return stages
