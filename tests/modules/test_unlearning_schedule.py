"""UnlearningModule with a learning-rate schedule, in real trainers."""

from __future__ import annotations

import warnings

import pytest
from lightning.pytorch import Callback
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau

from tests.modules.test_unlearning import Watch, sgd
from tests.modules.tiny import loader, quiet
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair


@pytest.mark.parametrize(
    "make",
    [
        lambda o: LambdaLR(o, lambda step: 0.9**step),
        lambda o: CosineAnnealingLR(o, 10),
        lambda o: OneCycleLR(o, 0.3, total_steps=10),
    ],
    ids=["lambda", "cosine", "one-cycle"],
)
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_scheduler_steps_once_a_round_whatever_gen_scales(make, scale):
    """The rates seen after each round are the schedule's own, and lr_scale never leaks into it."""

    class Scale(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            module.host.lr_scale = scale

    watch = Watch(lambda module: module.optimizers().param_groups[0]["lr"])
    module = UnlearningModule(ToyClassifier(), optimizer=sgd, scheduler=make)
    quiet(callbacks=[Scale(), watch]).fit(module, loader([toy_pair(seed=r) for r in range(6)]))
    optimizer = sgd(ToyClassifier().parameters())
    schedule = make(optimizer)
    expected = []
    for _ in range(6):
        optimizer.step()
        schedule.step()
        expected.append(optimizer.param_groups[0]["lr"])
    assert watch.seen == expected


def test_the_scheduler_steps_in_skipped_rounds_too():
    same = toy_batch(4)
    module = UnlearningModule(
        ToyClassifier(), optimizer=sgd, scheduler=lambda o: LambdaLR(o, lambda step: 0.5**step)
    )
    watch = Watch(lambda module: module.optimizers().param_groups[0]["lr"])
    batches = [{"forget": same, "retain": same}, toy_pair()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch remarks that the schedule stepped before the optimizer
        quiet(callbacks=[watch]).fit(module, loader(batches))
    assert watch.seen == [0.05, 0.025]
    assert module.skipped_rounds == 1


def test_a_plateau_scheduler_watches_the_retain_loss():
    module = UnlearningModule(
        ToyClassifier(),
        optimizer=sgd,
        scheduler=lambda o: ReduceLROnPlateau(o, patience=0, threshold=1e3, threshold_mode="abs"),
    )
    watch = Watch(lambda module: module.optimizers().param_groups[0]["lr"])
    quiet(callbacks=[watch]).fit(module, loader([toy_pair(seed=r) for r in range(3)]))
    assert watch.seen == pytest.approx([0.1, 0.01, 0.001])
