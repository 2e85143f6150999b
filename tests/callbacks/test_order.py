"""The order of callbacks, whatever order they were given in."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.callbacks.runs import TwoLosses, fit, module_for
from unlearnkit.callbacks import CollapseGuard, EvaluateEvery, ForgetTarget, GeN

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Other(Callback):
    """A callback of a user; it notes that it was set up, and once."""

    def __init__(self) -> None:
        self.set_up = 0

    def setup(self, trainer, pl_module, stage):
        self.set_up += 1


@pytest.mark.parametrize("order", list(permutations(range(5)))[::13])
def test_each_acts_on_what_those_before_it_left(tmp_path: Path, order: tuple[int, ...]) -> None:
    other = Other()
    given = [
        ForgetTarget("eval/forget_loss", target=100.0, every=2),
        GeN(every=2),
        EvaluateEvery(TwoLosses(), every=2),
        CollapseGuard(every=1),
        other,
    ]
    saved = ModelCheckpoint(tmp_path, monitor="eval/forget_loss", every_n_train_steps=2)
    trainer = fit(module_for(), 2, [saved, *(given[i] for i in order)], tmp_path)
    kinds = [type(callback) for callback in trainer.callbacks]
    assert kinds == [GeN, CollapseGuard, Other, EvaluateEvery, ForgetTarget, ModelCheckpoint]
    assert other.set_up == 1


def test_what_moves_the_model_comes_before_its_evaluation(tmp_path: Path) -> None:
    """An average of a user, say, that was listed behind."""
    trainer = fit(module_for(), 1, [EvaluateEvery(TwoLosses(), every=1), Other()], tmp_path)
    assert [type(callback) for callback in trainer.callbacks] == [Other, EvaluateEvery]
