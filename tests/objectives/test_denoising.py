"""What diffusion's objectives ask of model and batch."""

from __future__ import annotations

import pytest
import torch

from tests.objectives.tiny_diffusion import CLASSES, TinyDiffusion, diffusion_batch
from unlearnkit.errors import ConfigurationError
from unlearnkit.models import ImageClassifier
from unlearnkit.objectives import UniformPixels
from unlearnkit.objectives.denoising import conditioned, require_classes, require_keys
from unlearnkit.testing import ToyClassifier, toy_batch


def test_classes_and_keys_are_returned():
    batch = diffusion_batch(3)
    assert require_classes(TinyDiffusion(), UniformPixels()) == CLASSES
    assert require_keys(batch, UniformPixels()) is batch["keys"]


@pytest.mark.parametrize("model", [ToyClassifier(), ImageClassifier()])
def test_another_model_is_refused(model):
    with pytest.raises(
        ConfigurationError, match=r"`model` must be .* for UniformPixels\. Found .*Classifier"
    ):
        require_classes(model, UniformPixels())


def test_a_batch_without_keys_is_refused():
    with pytest.raises(ConfigurationError, match=r"`batch` must hold the `keys`.* Use the data module"):
        require_keys(toy_batch(2), UniformPixels())


def test_the_batch_itself_is_not_changed():
    batch = diffusion_batch(2)
    other = conditioned(batch, batch["targets"], torch.zeros(2, 1, 2, 2))
    assert set(other) - set(batch) == {"conditions"}
    assert batch["inputs"].dtype == torch.uint8 and not other["inputs"].any()
