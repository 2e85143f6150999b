"""ImageClassifier: bytes in, logits out, folders that come back bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ArtifactError, ConfigurationError, DataNotFoundError
from unlearnkit.models import ImageClassifier

GREY, COLOUR = ImageTraits(10, 1, 8), ImageTraits(5, 3, 16)


def built(traits=GREY, **arguments):
    model = ImageClassifier(**arguments)
    model.materialize(traits)
    return model


def batch(n=4, traits=GREY, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, traits.channels, traits.height, traits.height)
    return {
        "inputs": torch.randint(256, shape, generator=generator, dtype=torch.uint8),
        "targets": torch.randint(traits.classes, (n,), generator=generator),
        "index": torch.arange(n),
    }


@pytest.mark.parametrize("traits", [GREY, COLOUR])
def test_it_speaks_the_protocol(traits):
    model, given = built(traits), batch(traits=traits)
    logits = model(given)
    assert logits.shape == (4, traits.classes)
    torch.testing.assert_close(model.losses(given), cross_entropy(logits, given["targets"], reduction="none"))
    assert model.counts(given).tolist() == [1] * 4
    units, targets, mask = model.units(given)
    assert (
        units.shape == (4, 1, traits.classes) and mask.all() and torch.equal(targets[:, 0], given["targets"])
    )


def test_it_normalises():
    model, given = built(COLOUR, mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 2.0]), batch(traits=COLOUR)
    mean, std = torch.tensor([0.1, 0.2, 0.3])[:, None, None], torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    expected = model.network((given["inputs"].float() / 255 - mean) / std)
    torch.testing.assert_close(model(given), expected)
    floats = given | {"inputs": given["inputs"].float() / 255}
    torch.testing.assert_close(model(floats), expected)


def test_it_scales():
    model = built(COLOUR, resize=32, network="resnet18")
    seen = []
    model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    model(batch(traits=COLOUR))
    assert seen == [(4, 3, 32, 32)]


def test_an_empty_batch_has_gradients_of_zero():
    model = built()
    loss = model.losses(batch(0)).sum()
    loss.backward()
    assert loss == 0 and all(not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("traits", [GREY, COLOUR])
def test_a_folder_comes_back_bit_for_bit(tmp_path, traits):
    model, given = built(traits, network="resnet18" if traits is COLOUR else "small"), batch(traits=traits)
    model(given)  # moves batch statistics
    model.eval().save(tmp_path / "model")
    loaded = ImageClassifier(str(tmp_path / "model"))
    assert loaded.built
    loaded.materialize(traits)
    assert torch.equal(loaded.eval()(given), model(given))
    with pytest.raises(ConfigurationError, match=r"classes and channels \(9, 3\). Found a network with"):
        loaded.materialize(ImageTraits(9, 3, 16))


def test_a_seed_is_a_network_and_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = built(seed=1), built(seed=1), built(seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    a, b, c = (next(model.parameters()) for model in (first, again, other))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="`resize` must be at least 1"):
        ImageClassifier(resize=0)
    with pytest.raises(ConfigurationError, match="`std` must be above 0"):
        ImageClassifier(std=[0.0])
    with pytest.raises(ConfigurationError, match="a number for each of the 3 channels. Found 1 and 3"):
        built(COLOUR, mean=[0.5])
    with pytest.raises(DataNotFoundError, match="`name` must be a folder"):
        ImageClassifier(str(tmp_path))
    built().save(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="whole weights"):
        ImageClassifier(str(tmp_path / "model"))
