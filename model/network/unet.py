"""The two networks of MNAD: a U-Net that predicts, and an autoencoder that reconstructs; each
with either of the two memories.

Shapes: B cameras (or training windows), C feature channels, h x w the feature map, 1 / D of the
picture each way (`NetConfig.downscale`, 8 in the paper), K = h*w queries. Pictures are in [-1, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.network.memories import Memory, build_memory
from model.network.network_config import NetConfig, Task


def _make_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    """Make two of: 3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _make_upsampling(channels_in: int, channels_out: int) -> nn.Sequential:
    """Double height and width: transposed 3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class PictureEncoder(nn.Module):
    """Picture to feature map; also returns what the decoder's skip connections take."""

    def __init__(
        self, channels_in: int, base_width: int, channels_out: int, *, patch: int = 1
    ) -> None:
        super().__init__()
        self.patch = patch
        widths = (base_width, 2 * base_width, 4 * base_width)
        inputs = (channels_in * patch**2, *widths)
        self.stages = nn.ModuleList(
            _make_convolutions(n_in, n_out) for n_in, n_out in zip(inputs, widths, strict=False)
        )
        # No batch norm or ReLU at the end: a query may point anywhere on the sphere.
        self.last = nn.Sequential(
            nn.Conv2d(4 * base_width, 8 * base_width, 3, padding=1),
            nn.BatchNorm2d(8 * base_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(8 * base_width, channels_out, 3, padding=1),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, channels_in, H, W) to (B, C, h, w), and the stages' outputs, widest first."""
        skips: list[Tensor] = []
        x = pictures if self.patch == 1 else functional.pixel_unshuffle(pictures, self.patch)
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        return self.last(x), skips


class PictureDecoder(nn.Module):
    """Queries and answers to a picture in [-1, 1]; and, where it judges, to each pixel's logit of
    showing something abnormal."""

    def __init__(
        self,
        channels_in: int,
        base_width: int,
        channels_out: int,
        *,
        skips: bool,
        judges: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.skips = skips
        self.judges = judges
        widths = [8 * base_width, 4 * base_width, 2 * base_width, base_width]
        # With skips an "up" halves the channels and the skip fills them again; else it keeps them.
        ups = widths[1:] if skips else widths[:-1]
        self.stages = nn.ModuleList()
        self.ups = nn.ModuleList()
        inputs = [channels_in, *widths[:-1]]
        for n_in, n_out, n_up in zip(inputs, widths, [*ups, 0], strict=True):
            self.stages.append(_make_convolutions(n_in, n_out))
            if n_up:
                self.ups.append(_make_upsampling(n_out, n_up))
        self.last = nn.Conv2d(base_width, (channels_out + judges) * patch**2, 3, padding=1)

    def forward(self, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """(B, channels_in, h, w) and the encoder's stages to (B, channels_out, H, W) in [-1, 1],
        with one channel more where it judges: logits."""
        x = self.last(self.trunk(features, skips))
        pictures = torch.tanh(x)  # of all channels: of a part it takes 20 times as long
        if self.judges:
            judged = self.patch**2
            pictures = torch.cat((pictures[:, :-judged], x[:, -judged:]), dim=1)
        return pictures if self.patch == 1 else functional.pixel_shuffle(pictures, self.patch)

    def trunk(self, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """All but the last convolution, which takes what this gives."""
        x = features
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index < len(self.ups):
                x = self.ups[index](x)
                if self.skips:
                    x = torch.cat((x, skips[-1 - index]), dim=1)
        return x


class MemoryNetwork(nn.Module):
    """Encoder, memory read, decoder. The items are an input: every camera has its own."""

    def __init__(self, encoder: PictureEncoder, decoder: PictureDecoder, memory: Memory) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.memory = memory

    def encode(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, channels_in, H, W) in [-1, 1] to unit queries (B, K, C), and the skips."""
        features, skips = self.encoder(pictures)
        queries = features.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, K, C)
        return functional.normalize(queries.float(), dim=2), skips

    def decode(self, queries: Tensor, recalled: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Queries and what the memory answered, both (B, K, C), to what `PictureDecoder` gives."""
        height, width = (size // 2 for size in skips[-1].shape[-2:])
        features = self.memory.make_decoder_input(queries, recalled)  # (B, K, 2C or C)
        features = features.transpose(1, 2).reshape(
            features.shape[0], -1, height, width
        )  # (B, 2C or C, h, w)
        pictures: Tensor = self.decoder(features, skips)
        return pictures

    def forward(self, pictures: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Predict (or rebuild) a frame, reading each camera's items.

        Args:
            pictures: (B, channels_in, H, W) in [-1, 1]; for prediction the context, oldest first.
            items: (B, M, C); or (1, M, C), shared by all.
        Returns: what `PictureDecoder` gives, and unit queries (B, K, C).
        """
        queries, skips = self.encode(pictures)
        return self.decode(queries, self.memory.read(queries, items), skips), queries

    def channels_last(self) -> MemoryNetwork:
        """Lay the weights out as convolutions read them fastest; values stay. Returns itself."""
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self


def fold_batch_norms(network: MemoryNetwork) -> MemoryNetwork:
    """Copy the network for evaluation, each batch norm folded into the convolution before it.

    The same function but for rounding; a tenth of the time on a CPU went into batch norms.
    """
    copied = copy.deepcopy(network).eval()
    for block in [module for module in copied.modules() if isinstance(module, nn.Sequential)]:
        for index, (layer, norm) in enumerate(pairwise(list(block))):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            if isinstance(layer, nn.Conv2d):
                block[index] = fuse_conv_bn_eval(layer, norm)
                block[index + 1] = nn.Identity()
            elif isinstance(layer, nn.ConvTranspose2d):
                block[index] = fuse_conv_bn_eval(layer, norm, transpose=True)
                block[index + 1] = nn.Identity()
    return copied


def build_network(config: NetConfig) -> MemoryNetwork:
    """Build the network that a configuration describes, with PyTorch's initial weights."""
    memory = build_memory(config)
    encoder = PictureEncoder(
        config.input_channels, config.base_width, config.memory_channels, patch=config.patch
    )
    decoder = PictureDecoder(
        memory.count_decoder_channels(config.memory_channels),
        config.base_width,
        config.channels,
        skips=config.task is Task.PREDICTION,
        judges=config.judges,
        patch=config.patch,
    )
    return MemoryNetwork(encoder, decoder, memory)
