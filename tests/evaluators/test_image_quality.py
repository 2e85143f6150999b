"""Quality in named features: the scale and directions of the space, what few images leave out, Inception offline."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, DataNotFoundError
from unlearnkit.evaluators import image_quality
from unlearnkit.evaluators.image_quality import (
    INCEPTION,
    RealImages,
    feature_number,
    main_directions,
    require_enough,
)
from unlearnkit.metrics.functional.feature_distances import frechet_distance
from unlearnkit.models import HeldOutClassifier


class Pixels:
    """A judge whose features are the pixels."""

    name, digest = "pixels", "0"

    def prepare(self, *_: object) -> None:
        raise AssertionError("it is ready")

    def read(self, images):
        return torch.zeros(len(images), 2), images.flatten(1).float()


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(image_quality, "_READ", {})


def images(n, seed=0):
    return torch.randint(
        0, 256, (n, 1, 2, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def real(n=50, dimension=None, features="judge"):
    return RealImages.of(images(n), Pixels(), features, dimension, 16, "cpu")


def test_a_judges_features_are_brought_to_a_mean_square_of_1():
    found = real()
    assert (
        found.features.square().mean() == pytest.approx(1)
        and found.name == "judge (pixels; 0), mean square 1"
    )
    made = images(40, 1).flatten(1).float()
    scale = images(50).flatten(1).double().square().mean().sqrt()
    numbers = found.compare(made, 3, 0)
    want = frechet_distance(images(50).flatten(1).double() / scale, made.double() / scale)
    assert numbers["fid"] == pytest.approx(want, rel=1e-6)


def test_real_images_against_themselves():
    numbers = real().compare(images(50).flatten(1).float(), 3, 0)
    assert abs(numbers["fid"]) < 1e-6 and numbers["precision"] == numbers["recall"] == 1


def test_real_images_are_read_once_and_two_sets_stay(monkeypatch):
    asked = []
    read = Pixels.read
    monkeypatch.setattr(Pixels, "read", lambda self, part: asked.append(len(part)) or read(self, part))
    first = real(16)
    assert real(16) is first and asked == [16]
    assert real(16, dimension=2) is not first and asked == [16] * 2
    other = real(15)
    assert other is real(15) and other.digest != first.digest and len(image_quality._READ) == 2
    assert real(16) is not first and asked == [16, 16, 15, 16], "the oldest went"


def test_few_images_leave_numbers_out():
    assert real().compare(images(4).flatten(1).float(), 3, 0)["fid"] is None
    assert set(real().compare(images(1).flatten(1).float(), 3, 0).values()) == {None}
    assert set(real().compare(images(9).flatten(1) / 0, 3, 0).values()) == {None}


def test_enough_is_said_with_the_number_needed():
    require_enough(4, real=50, generated=5, classes=2)
    with pytest.raises(
        ConfigurationError, match=r"features \(4\).*Found 4 images of 2 classes. Use samples_per_class=3"
    ):
        require_enough(4, real=50, generated=4, classes=2)
    with pytest.raises(ConfigurationError, match="`reference_per_class`.*Found 3 images"):
        require_enough(4, real=3, generated=9, classes=3)
    require_enough(2, real=3, generated=3, classes=3)


def test_features_are_counted_before_a_judge_is_trained():
    judge = HeldOutClassifier(epochs=1)
    number = feature_number(judge, "judge", ImageTraits(4, 1, 8))
    pictures = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    judge.prepare(pictures, torch.arange(8) % 4, ImageTraits(4, 1, 8), "pictures")
    assert number == feature_number(judge, "auto", ImageTraits(4, 1, 8)) == judge.num_features == 64
    assert feature_number(nn.Identity(), "judge", ImageTraits(4, 1, 8)) is None, "a judge of one's own"
    with pytest.raises(DataNotFoundError, match="features=judge"):
        feature_number(judge, "inception", ImageTraits(4, 1, 8))


def test_directions_are_those_of_most_variance_and_orthonormal():
    points = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9, 3, 1, 1])
    basis = main_directions(points, 2)
    torch.testing.assert_close(basis.T @ basis, torch.eye(2).double())
    assert basis[1, 0].abs() > 0.99 and basis[2, 1].abs() > 0.9
    assert main_directions(points[:3], 4).shape == (5, 4), "fewer samples than directions are a basis too"
    with pytest.raises(
        ConfigurationError, match="`feature_dim` must be at most the number of features. Found 6 of 5"
    ):
        main_directions(points, 6)


def test_inception_that_is_not_there_is_refused_and_auto_takes_the_judge():
    with pytest.raises(
        DataNotFoundError, match=r"`features` inception must have its weights .* Use features=judge"
    ):
        real(features="inception")
    assert real(features="auto").name == real().name


def test_inception_that_is_there_is_taken_as_it_is(monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, dtype=torch.float64))
    coloured = image_quality._Coloured(nn.Sequential(_Double(), network))
    monkeypatch.setattr(image_quality, "inception", lambda device: coloured)
    found = real(features="auto")
    assert found.name == INCEPTION and found.basis is None and found.features.shape == (50, 2)


class _Double(nn.Module):
    def forward(self, images):
        assert images.shape[1] == 3 and images.dtype == torch.uint8
        return images.double()
