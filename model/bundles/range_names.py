"""The convolutions that a bundle keeps 8-bit ranges of, as they are named in the live network."""

from __future__ import annotations

from torch import nn

from model.network.unet import MemoryNetwork

UNQUANTISED = "encoder.stages.0.0"
"""The first one: it stays in fp32."""


def list_convolution_names(network: MemoryNetwork) -> set[str]:
    """List what `find_convolutions` of `model.engines.quantisation` finds, without making the live
    network."""
    names: set[str] = set()
    for name, module in network.named_modules():
        if name == UNQUANTISED or not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        if name == "decoder.last":
            names |= {"picture", "judge"} if network.decoder.judges else {"picture"}
        else:
            names.add(name.replace("decoder.", "trunk.", 1))
    return names
