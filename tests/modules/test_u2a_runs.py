"""U2A in a training run: outer rounds are epochs, the run ends by itself, and a resume has the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from tests.modules.test_resume import data, model
from tests.modules.tiny import flat, quiet
from unlearnkit.alignment import GrowingSelector, MarginalGains, Selection
from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.callbacks.run_folder import RunFolder
from unlearnkit.errors import MismatchError
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NPO, AscentNLL, WithDistance
from unlearnkit.strategies import U2A, FixedWeights, ForgetOnly

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EPOCH, ROUNDS = 4, 3
"""Inner steps of an outer round, and outer rounds; one more epoch is trained with the best weights."""


def momentum(parameters):
    """Return SGD at a rate at which twelve steps of ascent stay finite."""
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)


class RetainJ:
    """The mean log-likelihood of the first rows to keep, once the data module is known."""

    batch: Any = None

    def bind(self, datamodule):
        """Take the rows."""
        self.batch = next(iter(datamodule.batches("retain")))

    def value(self, model) -> float:
        """Return J."""
        with torch.no_grad():
            return -float(model.losses(self.batch).mean())

    def gradient(self, model) -> list[torch.Tensor]:
        """Return its gradient."""
        return summed_gradient(model, [lambda: -model.losses(self.batch).mean()])


def strategy(inner=None):
    selector = GrowingSelector(3, 1, MarginalGains(0.5), steps=3)
    return U2A(inner or ForgetOnly(), selector, RetainJ(), rounds=ROUNDS, delta=-1e9)


def module(objective=None, inner=None):
    forget = WithDistance(objective or AscentNLL(), 0.5)
    return UnlearningModule(model(), forget, None, strategy(inner), momentum, seed=5)


def tofu():
    return data(authors=20, forget_batch_size=4, epoch_length=EPOCH)


class Starts(Callback):
    """Keep the parameters before each epoch's first round."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.seen.append(flat(pl_module.model))


def test_outer_rounds_are_epochs_and_the_run_ends_after_the_best(tmp_path):
    run, starts, logger = module(), Starts(), CSVLogger(tmp_path, name="", version="")
    target = flat(run.model)
    trainer = quiet(max_epochs=50, callbacks=[starts, RunFolder()], logger=logger, log_every_n_steps=1)
    trainer.fit(run, tofu())
    assert trainer.current_epoch == ROUNDS + 1
    assert trainer.global_step == EPOCH * (ROUNDS + 1)
    assert len(starts.seen) == ROUNDS + 1
    assert all(torch.equal(start, starts.seen[0]) for start in starts.seen)
    assert torch.equal(starts.seen[0], target)
    assert not torch.equal(flat(run.model), starts.seen[0])
    chosen = Selection.load(tmp_path / "selection.json")
    assert torch.equal(chosen.weights, run.strategy.selection.weights)
    assert [record["size"] for record in chosen.history] == [0, 3, 4, 5]
    assert set(chosen.candidates.tolist()) == set(trainer.datamodule.split.forget)
    logger.save()
    head = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"selection/ess", "selection/J", "selection/size", "selection/g"} <= set(head)


def test_the_forget_loss_of_a_round_is_the_weighted_one():
    class Look(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            weights = pl_module.strategy.selection.of(batch["forget"]["index"])
            self.last = (pl_module.last_report.losses["forget"].item(), batch, weights)

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            with torch.no_grad():
                self.before = -pl_module.model.losses(batch["forget"])
                self.distance = pl_module.objective("forget").penalty(pl_module.model, pl_module.reference)

    look = Look()
    no_dropout = UnlearningModule(
        model(0.0), WithDistance(AscentNLL(), 0.5), None, strategy(), momentum, seed=5
    )
    quiet(max_epochs=1, callbacks=[look]).fit(no_dropout, tofu())
    found, _, weights = look.last
    want = (weights * look.before).sum() / weights.sum() + look.distance
    assert 0 < int((weights > 0).sum()) < len(weights)
    assert found == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "inner"), [(AscentNLL, ForgetOnly), (NPO, lambda: FixedWeights(0.5))], ids=["ga", "npo-gd"]
)
def test_a_resumed_run_ends_with_the_same_bits(objective, inner, tmp_path: Path) -> None:
    """Within the first epoch, at the end of one, within the second, and within the last."""
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    whole = module(objective(), inner())
    quiet(callbacks=[keep], enable_checkpointing=True, max_epochs=50).fit(whole, tofu())
    assert whole.host.round == EPOCH * (ROUNDS + 1)
    for stop in (1, EPOCH, EPOCH + 2, EPOCH * ROUNDS + 2):
        resumed = module(objective(), inner())
        torch.manual_seed(stop)
        path = tmp_path / f"step={stop}.ckpt"
        quiet(max_epochs=50).fit(resumed, tofu(), ckpt_path=path, weights_only=True)
        assert resumed.host.round == whole.host.round, f"after {stop} rounds"
        assert torch.equal(flat(resumed.model), flat(whole.model)), f"after {stop} rounds"
        assert torch.equal(resumed.strategy.weights, whole.strategy.weights)
        assert resumed.strategy.history == whole.strategy.history


def test_a_resume_from_another_target_is_refused(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    quiet(callbacks=[keep], enable_checkpointing=True, max_steps=2).fit(module(), tofu())
    other = module()
    with torch.no_grad():
        next(other.model.parameters())[0, 0] += 1e-3
    with pytest.raises(MismatchError, match="must be the target"):
        quiet(max_steps=3).fit(other, tofu(), ckpt_path=tmp_path / "step=2.ckpt", weights_only=True)
