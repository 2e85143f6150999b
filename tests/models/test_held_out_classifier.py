"""HeldOutClassifier: deterministic, trained once, its features what its last layer reads, loaded ones as they are."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.datamodules import DiffusionImages
from unlearnkit.errors import ConfigurationError
from unlearnkit.models import HeldOutClassifier, ImageClassifier, held_out_classifier


@pytest.fixture(scope="module")
def data():
    data = DiffusionImages("digits")
    data.setup()
    return data


@pytest.fixture
def afresh(monkeypatch):
    monkeypatch.setattr(held_out_classifier, "_TRAINED", {})


def prepared(data, digest="digits", **arguments):
    judge = HeldOutClassifier(**{"epochs": 2} | arguments)
    judge.prepare(*data.held_out_images(), data.pixel_traits, digest)
    return judge


def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_it_recognises_images_it_has_not_seen(data):
    judge = prepared(data, epochs=20)
    images, labels = data.real_images("test")
    assert (judge.log_probabilities(images).argmax(-1) == labels).double().mean() > 0.9
    assert judge.log_probabilities(images).exp().sum(-1).sub(1).abs().max() < 1e-5


def test_the_same_seed_gives_the_same_bits_whatever_ran_before(data, monkeypatch):
    found = []
    for _ in range(2):
        monkeypatch.setattr(held_out_classifier, "_TRAINED", {})
        torch.rand(3)
        before = torch.get_rng_state()
        found.append(prepared(data))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*found) and found[0].digest == found[1].digest
    assert not same(found[0], prepared(data, seed=1))


def test_it_is_trained_once_for_the_same_images_and_settings(data, afresh):
    first = prepared(data)
    assert len(held_out_classifier._TRAINED) == 1
    second = prepared(data)
    assert len(held_out_classifier._TRAINED) == 1 and same(first, second)
    digests = {first.digest, prepared(data, digest="others").digest, prepared(data, epochs=3).digest}
    assert len(held_out_classifier._TRAINED) == len(digests) == 3


def test_features_are_what_the_last_layer_reads(data):
    judge = prepared(data)
    images = data.real_images("test")[0][:70]
    features = judge.features(images)
    assert features.shape == (70, judge.num_features) == (70, 64)
    head = judge.classifier.network.head[-1]
    logits = features @ head.weight.T + head.bias
    torch.testing.assert_close(logits.log_softmax(-1), judge.log_probabilities(images))
    assert not features.requires_grad


def test_networks_with_dropout_and_batch_norm_are_judges_too(data, afresh):
    network = ImageClassifier(network="resnet18")
    judge = HeldOutClassifier(network, epochs=1, batch_size=100)
    images, labels = data.held_out_images()
    judge.prepare(images[:100], labels[:100], data.pixel_traits, "few")
    alone, together = judge.features(images[:1]), judge.features(images[:9])
    assert judge.num_features == 512 and torch.allclose(alone[0], together[0], atol=1e-4)


def test_it_can_be_prepared_where_a_trainer_tests(data, afresh):
    with torch.inference_mode():
        judge = prepared(data)
    assert all(not parameter.is_inference() and parameter.grad is None for parameter in judge.parameters())


def test_a_loaded_one_is_not_trained(data, tmp_path, afresh):
    saved = prepared(data)
    saved.classifier.save(tmp_path / "judge")
    judge = HeldOutClassifier(ImageClassifier(str(tmp_path / "judge")), epochs=2)
    judge.prepare(None, None, data.pixel_traits, "")
    assert same(judge, saved) and "loaded from" in judge.name
    assert judge.digest != saved.digest


def test_it_must_be_prepared_and_its_numbers_be_in_range():
    with pytest.raises(ConfigurationError, match="must be prepared"):
        _ = HeldOutClassifier().digest
    for wrong in ({"epochs": 0}, {"lr": 0.0}, {"batch_size": 0}):
        with pytest.raises(ConfigurationError, match=f"`{next(iter(wrong))}` must be above 0"):
            HeldOutClassifier(**wrong)
