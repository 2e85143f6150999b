"""ImageClassifier: bytes in, logits out, folders that come back bit for bit."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ArtifactError, ConfigurationError, DataNotFoundError
from unlearnkit.models import ImageClassifier, image_classifier
from unlearnkit.models.image_network import SmallNet

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


class Deep(nn.Sequential):
    """Batch norm on feature maps of one pixel."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(),
            nn.Linear(4, 10),
        )  # fmt: skip


def deep():
    model = built()
    model.network = Deep()
    return model


def test_an_empty_batch_leaves_batch_statistics_as_they_are():
    model = deep()
    model(batch(4))
    before = {name: value.clone() for name, value in model.named_buffers()}
    loss = model.losses(batch(0)).sum()
    loss.backward()
    assert loss == 0 and all(p.grad is not None and not p.grad.any() for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(layer.training for layer in model.modules())


def test_batch_norm_of_one_image_and_pixel_is_refused_in_words():
    with pytest.raises(
        ConfigurationError, match=r"`batch_size` .* 'small' two images at a time.*Found one image"
    ):
        deep()(batch(1))
    assert deep().eval()(batch(1)).shape == (1, 10)


def test_it_says_where_its_weights_come_from(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        image_classifier, "build_network", lambda *given: made.append(given[-1]) or SmallNet(10, 1)
    )
    assert built().origin == "from scratch"
    model = built(pretrained=True, network="resnet18")
    assert model.origin == "published weights of resnet18"
    folder = str(tmp_path / "model")
    model.save(folder)
    assert ImageClassifier(folder).origin == f"{folder}, from published weights of resnet18"
    waiting = ImageClassifier(pretrained=True)
    waiting.materialize(GREY, weights=False)
    assert made == [False, True, False, False], "a saved model does not download what it holds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": None}, "Found mean missing or of another kind"),
        ({"classes": "ten"}, "Found classes missing or of another kind"),
        ({"format": 2}, "Found format 2"),
        (None, "Found network, stem, resize, mean, std, classes, channels, height missing"),
    ],
)
def test_a_description_that_is_not_whole_is_refused(tmp_path, change, words):
    built().save(tmp_path / "model")
    path = tmp_path / "model" / "image_classifier.json"
    path.write_text(json.dumps([] if change is None else json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=f"image_classifier.json` must describe a network.*{words}"):
        ImageClassifier(str(tmp_path / "model"))


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
