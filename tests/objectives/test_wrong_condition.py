"""WrongCondition: which class, against what, and that nothing but the class differs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.objectives.tiny_diffusion import CLASSES, TinyDiffusion, diffusion_batch
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import row_keys
from unlearnkit.objectives import WrongCondition

ROWS = torch.arange(20_000)
KEYS = row_keys(0, 0, ROWS)
TARGETS = ROWS % 10


def data(kept, classes=10):
    """Return what an objective asks of a data module."""
    return SimpleNamespace(retained_classes=kept, traits=ImageTraits(classes, 1, 8))


def test_against_the_prediction_equals_the_equation_written_naively():
    model, batch = TinyDiffusion(), diffusion_batch(5)
    value = WrongCondition()(model, batch)
    noised, steps, _, _ = model.noised(batch)
    for row in range(5):
        one = slice(row, row + 1)
        label = batch["targets"][one]
        own = model.predict(noised[one], steps[one], label)
        other = model.predict(noised[one], steps[one], (label + 1) % CLASSES)
        torch.testing.assert_close(value.sums[row], ((own - other) ** 2).sum())
    assert value.counts.tolist() == [4] * 5


def test_the_wrong_classes_prediction_is_a_constant():
    model, batch = TinyDiffusion(), diffusion_batch(6)
    batch["targets"] = torch.zeros_like(batch["targets"])
    WrongCondition(shift=2)(model, batch).sums.sum().backward()
    by_class = model.layer.weight.grad[:, 5:].abs().amax(0)
    assert by_class[0] > 0
    assert not by_class[1:].any()


def test_against_the_noise_is_the_loss_under_the_wrong_label():
    model, batch = TinyDiffusion(dropout=0.0), diffusion_batch(5)
    value = WrongCondition(against="noise", shift=3)(model, batch)
    torch.testing.assert_close(
        value.sums, model.losses(batch | {"targets": (batch["targets"] + 3) % CLASSES})
    )


@pytest.mark.parametrize("against", ["prediction", "noise"])
@pytest.mark.parametrize("target", ["next", "random", "null"])
def test_no_class_is_dropped(against, target):
    batch, objective = diffusion_batch(40), WrongCondition(target, against)
    often, never = (objective(TinyDiffusion(dropout=chance), batch).sums for chance in (1.0, 0.0))
    assert torch.equal(often, never)


def test_no_class_is_the_one_after_the_last():
    assert WrongCondition("null").wrong(TARGETS, KEYS, 10).unique().tolist() == [10]


def test_drawn_classes_are_wrong_uniform_and_functions_of_the_key():
    objective = WrongCondition("random")
    wrong = objective.wrong(TARGETS, KEYS, 10)
    shifts = torch.bincount((wrong - TARGETS) % 10, minlength=10)
    assert shifts[0] == 0
    expected = len(ROWS) / 9
    chi = ((shifts[1:].double() - expected) ** 2 / expected).sum().item()
    assert chi < 26.1, "chi-squared with 8 degrees of freedom, 0.1 %"
    some = torch.tensor([17, 3, 1999])
    assert torch.equal(objective.wrong(TARGETS[some], KEYS[some], 10), wrong[some])
    assert not torch.equal(objective.wrong(TARGETS, row_keys(0, 1, ROWS), 10), wrong)


@pytest.mark.parametrize("kept", [[0, 1, 2, 4, 5, 6, 7, 8, 9], [0, 2, 7], [9]])
def test_drawn_classes_are_kept_ones(kept):
    """Of rows whose own class is kept, too: their own is left out where there is another."""
    objective = WrongCondition("random")
    objective.bind(data(kept))
    wrong = objective.wrong(TARGETS, KEYS, 10)
    assert set(wrong.tolist()) == set(kept)
    own = wrong == TARGETS
    assert not own.any() or len(kept) == 1
    counts = torch.bincount(wrong[TARGETS == 3])[kept].double()
    assert (counts / counts.sum() - 1 / len(kept)).abs().max() < 0.05


def test_a_shift_to_another_class_to_forget_is_refused():
    WrongCondition(shift=1).bind(data([0, 1, 2, 4, 5, 6, 7, 8, 9]))
    WrongCondition(shift=2).bind(data([0, 1, 2, 5, 6, 7, 8, 9]))
    with pytest.raises(ConfigurationError, match=r"`shift` .* Found 1, from class 3 to 4 of .* \[3, 4\]"):
        WrongCondition(shift=1).bind(data([0, 1, 2, 5, 6, 7, 8, 9]))
    WrongCondition("random").bind(data([0, 1, 2, 5, 6, 7, 8, 9]))


def test_a_shift_back_to_the_class_is_refused():
    with pytest.raises(ConfigurationError, match=r"`shift` must not be a multiple .* 4: .* Found 8"):
        WrongCondition(shift=8)(TinyDiffusion(), diffusion_batch(2))


def test_refused():
    with pytest.raises(UnknownNameError, match="`target` must be one of"):
        WrongCondition("other")
    with pytest.raises(UnknownNameError, match="`against` must be one of"):
        WrongCondition(against="image")
    with pytest.raises(ConfigurationError, match=r"`shift` must be 1 or above\. Found 0"):
        WrongCondition(shift=0)
