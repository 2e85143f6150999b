"""Generated images: what each is asked with, what is kept, and the verdicts on known predictions."""

from __future__ import annotations

import math

import pytest
import torch

from tests.evaluators.generation_stand_ins import DrawsRealImages
from unlearnkit.evaluators import generated
from unlearnkit.evaluators.generated import Generated, Sampling, generate

SAMPLING = Sampling(steps=4, guidance=0.0, eta=0.0, sampler="ddim", batch_size=4, seed=0)


class Reads:
    """A judge to which the first pixel says the class, and whose features are the pixels."""

    name, digest = "reads", "0"

    def prepare(self, *_: object) -> None:
        raise AssertionError("it is ready")

    def read(self, images):
        pixels = images.flatten(1).float()
        return -(pixels[:, :1] - torch.arange(4.0)).abs().mul(9).softmax(-1).log().abs(), pixels


@pytest.fixture
def model():
    images = torch.arange(1, 13, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    images[:, 0, 0, 0] = torch.arange(12).remainder(4)
    return DrawsRealImages(images, torch.arange(12).remainder(4))


def test_images_come_in_the_order_of_the_requests_with_keys_of_their_own(model):
    wanted = [(2, 5), (0, 3)]
    found = generate(model, wanted, SAMPLING, Reads(), None, (0, 1), ([0, 2], 2))
    assert found.classes.tolist() == [2] * 5 + [0] * 3
    assert found.features.shape == (8, 4) and found.log_probabilities.shape == (8, 4)
    assert found.features[:, 0].tolist() == [2] * 5 + [0] * 3
    assert list(found.shown) == [0, 2] and found.shown[2].shape == (2, 1, 2, 2)
    assert torch.equal(found.shown[2].flatten(1).float(), found.features[:2])
    more = generate(model, [(0, 9)], SAMPLING, Reads(), None, (0, 1))
    assert torch.equal(more.features[:3], found.features[5:]), "the number of images changes none of them"
    other = Sampling(4, 0.0, 0.0, "ddim", 4, seed=1)
    assert not torch.equal(generate(model, [(0, 9)], other, Reads(), None, (0, 1)).features, more.features)


def test_two_processes_share_the_images_and_end_with_the_same(model, monkeypatch):
    whole = generate(model, [(1, 5), (3, 2)], SAMPLING, Reads(), None, (0, 1), ([1, 3], 2))
    shares = []
    monkeypatch.setattr(generated, "gather", lambda own, world: shares.append(own) or own)
    for rank in range(2):
        with pytest.raises(
            ValueError, match="zip"
        ):  # half of the rows: nobody hands over the other half here
            generate(model, [(1, 5), (3, 2)], SAMPLING, Reads(), None, (rank, 2), ([1, 3], 2))
    rows = [shares[place % 2][place // 2] for place in range(7)]
    assert torch.equal(torch.stack([row[1] for row in rows]), whole.features)


def test_other_features_are_taken_where_they_are_given(model):
    found = generate(
        model, [(1, 3)], SAMPLING, Reads(), lambda images: images.flatten(1)[:, 1:] * 2.0, (0, 1)
    )
    assert found.features.shape == (3, 3)


def test_verdicts_of_known_predictions():
    logs = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]]).log()
    blank = torch.tensor([False, False, False, True])
    found = Generated(torch.tensor([0, 1, 2, 2]), logs, torch.zeros(4, 1), blank, {})
    assert found.recognised.tolist() == [1, 0, 1, 0]
    assert found.probabilities.tolist() == pytest.approx([0.5, 0, 0.6, 1])
    want = [math.log(2), 0, -(0.4 * math.log(0.2) + 0.6 * math.log(0.6)), 0]
    assert found.entropies.tolist() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(("level", "blank"), [(0, True), (255, True), (128, False)])
def test_black_and_white_are_blank_and_grey_is_not(level, blank):
    model = DrawsRealImages(torch.full((2, 1, 2, 2), level, dtype=torch.uint8), torch.tensor([0, 0]))
    assert generate(model, [(0, 2)], SAMPLING, Reads(), None, (0, 1)).blank.tolist() == [blank] * 2
