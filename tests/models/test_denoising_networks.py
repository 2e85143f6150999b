"""U-Net and DiT: what they take, what they say of classes, and their published sizes."""

from __future__ import annotations

import pytest
import torch

from tests.models.diffusion_parts import COLOUR, GREY, LATENT
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.models.denoising_networks import (
    chosen_shape,
    denoise,
    kind_of,
    null_class,
    read_diffusion_shape,
    small_shape,
)
from unlearnkit.packaged import diffusion_shape_names

# Counted on the meta device; DiT's 675 million are those of the paper's code, whose blocks share one embedding.
PARAMETERS = {"dit-xl-2-256": 749_826_464, "ddpm-cifar10": 35_751_939}
PUBLISHED = {"dit-xl-2-256": ImageTraits(1000, 4, 32), "ddpm-cifar10": ImageTraits(10, 3, 32)}


@pytest.mark.parametrize("traits", [GREY, COLOUR, LATENT])
@pytest.mark.parametrize(
    ("kind", "learned"), [("unet", False), ("dit", False), ("unet", True), ("dit", True)]
)
def test_a_small_network_takes_images_and_knows_one_class_more(kind, learned, traits):
    network = small_shape(kind, width=16, layers=1, learned_variance=learned).build(traits)
    images = torch.randn(3, traits.channels, traits.height, traits.height)
    classes = torch.tensor([0, traits.classes - 1, traits.classes])
    found = denoise(network, images, torch.tensor([0, 5, 999]), classes)
    assert found.shape == (3, traits.channels * (1 + learned), traits.height, traits.height)
    assert null_class(network) == traits.classes and kind_of(network) == kind
    with pytest.raises(IndexError):
        denoise(network, images, torch.tensor([0, 5, 999]), classes + 1)


def test_dit_draws_no_classes_itself():
    network = small_shape("dit", width=16, layers=2).build(GREY).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    given = torch.randn(64, 1, 8, 8), torch.zeros(64, dtype=torch.int64), torch.arange(64) % 10
    before = torch.random.get_rng_state()
    assert torch.equal(denoise(network, *given), denoise(network, *given))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", diffusion_shape_names())
def test_published_sizes(name):
    shape, traits = read_diffusion_shape(name), PUBLISHED[name]
    with torch.device("meta"):
        network = shape.build(traits)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name] == shape.parameters
    assert shape.height == traits.height
    assert network.config.out_channels == traits.channels * (1 + shape.learned_variance)


def test_dit_has_the_papers_weights_but_for_copies_of_the_embedding():
    shape = read_diffusion_shape("dit-xl-2-256")
    with torch.device("meta"):
        network = shape.build(PUBLISHED["dit-xl-2-256"])
    copies = 27 * sum(p.numel() for p in network.transformer_blocks[0].norm1.emb.parameters())
    # The paper's 675.1 million count the table of positions, which diffusers keeps as a buffer.
    table = network.pos_embed.pos_embed.numel()
    assert shape.parameters - copies + table == 675_129_632


def test_every_shape_is_counted():
    assert set(PARAMETERS) == set(diffusion_shape_names())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 0}, "`width` must be 1 or above. Found 0"),
        ({"width": 10}, "`width` must be a multiple of 4.*Found 10. Use width=12"),
        ({"multipliers": []}, r"`multipliers` must hold.*Found \[\]"),
        ({"multipliers": [1, 0]}, r"`multipliers` must hold.*Found \[1, 0\]"),
        ({"heads": 2}, "`heads` must be unset with network 'unet'.*Found 2"),
        ({"patch_size": 2}, "`patch_size` must be unset with network 'unet'"),
        ({"network": "dit", "multipliers": [1]}, r"`multipliers` must be unset with network 'dit'"),
        (
            {"network": "dit", "width": 40, "heads": 4},
            r"`width` must be a multiple of 4 x `heads` \(16\).*width=32",
        ),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        small_shape(**{"network": "unet"} | arguments)


@pytest.mark.parametrize(
    ("shape", "height", "words"),
    [
        (
            small_shape("unet", multipliers=[1, 1, 1]),
            10,
            "multiple of 4 for this unet.*Found 10.*Scale them to 8",
        ),
        (small_shape("unet", multipliers=[1, 1, 1, 1, 1]), 8, "multiple of 16 .*Found 8.*Scale them to 16"),
        (
            small_shape("dit", patch_size=4),
            10,
            "multiple of 4 for this dit: it is cut into patches. Found 10",
        ),
    ],
)
def test_an_image_size_that_the_network_cannot_take_is_refused(shape, height, words):
    with pytest.raises(ConfigurationError, match=f"`size` of the images must be a {words}"):
        shape.build(ImageTraits(10, 1, height))


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="`network` must be one of: dit, unet"):
        small_shape("resnet")
    with pytest.raises(UnknownNameError, match="Found 'dit-xl'. Did you mean 'dit-xl-2-256'"):
        read_diffusion_shape("dit-xl")


def test_a_shape_goes_alone():
    chosen = chosen_shape(None, "unet", "dit-xl-2-256", {"width": None}, 0.0, None)
    assert chosen.network == "dit" and chosen.learned_variance
    assert not chosen_shape(None, "unet", "dit-xl-2-256", {}, 0.0, False).learned_variance
    with pytest.raises(
        ConfigurationError, match=r"`shape` and `width` must not both be given.*and width=8\."
    ):
        chosen_shape(None, "unet", "dit-xl-2-256", {"width": 8}, 0.0, None)


def test_the_name_of_a_saved_model_goes_before_a_recipes_shape():
    assert chosen_shape("folder", "unet", "dit-xl-2-256", {}, 0.0, None) == small_shape("unet")
