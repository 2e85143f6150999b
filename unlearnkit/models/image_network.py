"""Networks that classify images, by name: two small ones, torchvision's, timm's."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError

Stem = Literal["auto", "cifar", "imagenet"]

OWN = ("small", "small_swin")
"""Networks of this library alone."""

SMALL = 64
"""Height up to which ``auto`` gives a ResNet the stem for small images."""


def build_network(
    name: str, classes: int, channels: int, height: int, stem: Stem = "auto", pretrained: bool = False
) -> nn.Module:
    """Build a network that maps images [batch, channels, height, width] to logits [batch, classes].

    Args:
        name: ``small``, ``small_swin``, or the name of a classification model of torchvision or timm.
        classes: Number of classes.
        channels: 1 or 3.
        height: Of the images, in pixels.
        stem: How a ResNet of torchvision begins: ``cifar`` is one 3x3 convolution of stride 1 without pooling, so that
            small images keep their resolution; ``imagenet`` is its own; ``auto`` goes by the height.
        pretrained: Whether to load the weights that the library has for it (needs the network).

    Raises:
        UnknownNameError: There is no such network, or ``stem`` is none of the three.
        DataNotFoundError: The weights are not to be had.
        ConfigurationError: A network of torchvision cannot be fitted to the data, ``small_swin``'s windows do not tile
            the images, or ``pretrained`` is asked of one that has no weights.
    """
    if stem not in ("auto", "cifar", "imagenet"):
        raise UnknownNameError.among("stem", stem, ["auto", "cifar", "imagenet"])
    if name in OWN and pretrained:
        raise ConfigurationError(
            f"`pretrained` must be false with network {name!r}, of which there are no published weights. Found true. "
            "Leave it out, or use a network of torchvision or timm."
        )
    if name == "small":
        return SmallNet(classes, channels)
    if name == "small_swin":
        return _small_swin(classes, channels, height)
    import timm
    import torchvision

    known: list[str] = torchvision.models.list_models(torchvision.models)
    try:
        if name in known:
            return _torchvision(
                name, classes, channels, stem == "cifar" or (stem == "auto" and height <= SMALL), pretrained
            )
        if name in timm.list_models():
            sized: dict[str, Any] = {"img_size": height} if _takes_size(name) else {}
            made: nn.Module = timm.create_model(
                name, pretrained=pretrained, num_classes=classes, in_chans=channels, **sized
            )
            return made
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise DataNotFoundError(
            f"`pretrained` weights must be within reach. Found none of {name!r} ({type(error).__name__}). "
            "Set pretrained=false to train from scratch, or give the `name` of a folder with a saved model."
        ) from error
    raise UnknownNameError.among("network", name, [*OWN, *known, *timm.list_models()])


class SmallNet(nn.Module):
    """Three convolutions and two linear layers, for images from 8 x 8 on: a laptop trains it in seconds.

    It has no batch statistics, so that forget-only batches cannot shift them.

    Args:
        classes: Number of classes.
        channels: 1 or 3.
        width: Channels of the first convolution.

    >>> import torch
    >>> SmallNet(10, 1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int, channels: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * width, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, images: Any) -> Any:
        """Return logits [batch, classes]."""
        return self.head(self.features(images))


def _small_swin(classes: int, channels: int, height: int) -> nn.Module:
    """Return timm's Swin transformer in a size for a laptop: two stages of two blocks, 24 and 48 channels."""
    from timm.models.swin_transformer import SwinTransformer

    if height % 16:
        raise ConfigurationError(
            f"`network` small_swin must have images whose height is a multiple of 16. Found {height}. "
            "Scale the images (`size` of the data), or use network=small."
        )
    window = min(8, height // 8)
    made: nn.Module = SwinTransformer(
        img_size=height, patch_size=4, in_chans=channels, num_classes=classes, embed_dim=24, depths=(2, 2),
        num_heads=(2, 4), window_size=window,
    )  # fmt: skip
    return made


def _torchvision(name: str, classes: int, channels: int, small: bool, pretrained: bool) -> nn.Module:
    from torchvision.models import get_model

    network: Any = get_model(name, weights="DEFAULT" if pretrained else None)
    resnet = name.startswith(("resnet", "resnext", "wide_resnet"))
    linear = any(isinstance(part, nn.Linear) for part in network.modules())
    if (channels != 3 and not resnet) or not linear or name.startswith(("inception", "googlenet")):
        raise ConfigurationError(
            f"`network` must be one whose first and last layer fit the data ({channels} channels, one output). Found "
            f"torchvision's {name!r}. Use a ResNet, or a network of timm (timm.list_models())."
        )
    _replace_head(network, classes)
    if resnet and (small or channels != 3):
        first = network.conv1
        shape: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1} if small else {
            "kernel_size": first.kernel_size, "stride": first.stride, "padding": first.padding
        }  # fmt: skip
        network.conv1 = nn.Conv2d(channels, first.out_channels, bias=False, **shape)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        if small:
            network.maxpool = nn.Identity()
    made: nn.Module = network
    return made


def _replace_head(network: Any, classes: int) -> None:
    """Put a linear layer of the right width in place of the last one."""
    name, last = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Linear)][-1]
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Linear(last.in_features, classes))


def _takes_size(name: str) -> bool:
    """Say whether a network of timm is built for one size of image."""
    return name.startswith(("vit", "deit", "swin", "beit", "mixer"))
