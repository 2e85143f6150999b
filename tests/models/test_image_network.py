"""Networks by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError
from unlearnkit.models.image_network import SmallNet, build_network


@pytest.mark.parametrize(
    ("name", "channels", "height"),
    [
        ("small", 1, 8),
        ("small", 3, 64),
        ("resnet18", 3, 32),
        ("resnet18", 1, 8),
        ("mobilenet_v3_small", 3, 64),
        ("resnet10t", 3, 64),
        ("swin_tiny_patch4_window7_224", 3, 64),
    ],
)
def test_they_give_a_logit_for_each_class(name, channels, height):
    network = build_network(name, 7, channels, height).eval()
    with torch.no_grad():
        assert network(torch.rand(2, channels, height, height)).shape == (2, 7)


def test_a_resnet_of_small_images_keeps_their_resolution():
    small, large = build_network("resnet18", 10, 3, 32), build_network("resnet18", 10, 3, 224)
    assert (
        small.conv1.stride == (1, 1)
        and small.conv1.kernel_size == (3, 3)
        and isinstance(small.maxpool, nn.Identity)
    )
    assert large.conv1.stride == (2, 2) and isinstance(large.maxpool, nn.MaxPool2d)
    assert sum(p.numel() for p in small.parameters()) == 11_173_962, "as published for CIFAR-10"
    assert build_network("resnet18", 10, 3, 32, stem="imagenet").conv1.stride == (2, 2)
    grey = build_network("resnet18", 10, 1, 224)
    assert grey.conv1.weight.shape == (64, 1, 7, 7)


def test_the_small_one_has_no_batch_statistics():
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in SmallNet(10, 3).modules())


def test_refused():
    with pytest.raises(UnknownNameError, match="`network` must be one of.*Did you mean 'resnet18'"):
        build_network("resnet8x", 10, 3, 32)
    with pytest.raises(UnknownNameError, match="`stem`"):
        build_network("resnet18", 10, 3, 32, stem="none")


@pytest.mark.parametrize(
    ("name", "channels"), [("mobilenet_v3_small", 1), ("squeezenet1_0", 3), ("googlenet", 3)]
)
def test_networks_that_do_not_fit_are_refused_before_they_fail(name, channels):
    with pytest.raises(
        ConfigurationError, match=f"`network` must be one whose.*Found torchvision's '{name}'"
    ):
        build_network(name, 10, channels, 32)


def test_weights_out_of_reach(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(
        DataNotFoundError, match="`pretrained` weights must be within reach. Found none of 'resnet18'"
    ):
        build_network("resnet18", 10, 3, 32, pretrained=True)


def test_the_small_swin_takes_the_images_height_and_refuses_what_its_windows_cannot_tile() -> None:
    network = build_network("small_swin", 20, 3, 64)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 20)
    assert build_network("small_swin", 10, 1, 32)(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    with pytest.raises(
        ConfigurationError, match="small_swin must have images whose height is a multiple of 16"
    ):
        build_network("small_swin", 10, 1, 8)


@pytest.mark.parametrize("name", ["small", "small_swin"])
def test_own_networks_have_no_published_weights(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`pretrained` must be false with network '{name}'"):
        build_network(name, 10, 3, 32, pretrained=True)
