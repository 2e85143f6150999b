"""LightningHost against the contract of a host, through a real Trainer."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision

from unlearnkit.gradients import Mask
from unlearnkit.host import PlainHost
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.lightning_host import reseed
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import NGDiff
from unlearnkit.testing.host_contract import (
    OPTIMIZERS,
    STRATEGIES,
    Case,
    HostContract,
    Kinked,
    Outcome,
    double_batches,
    double_model,
)
from unlearnkit.testing.stub_strategies import AlternatingStub, SidedSGD
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class Recorder(Callback):
    def __init__(self, case: Case):
        self.case = case
        self.reports = []
        self.rates = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        module.host.lr_scale = self.case.scale(batch_idx)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.reports.append(module.last_report)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def trainer(**changes) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
    }
    return Trainer(**(quiet | changes))


def loader(batches):
    return torch.utils.data.DataLoader(batches, batch_size=None)


class TestLightningHost(HostContract):
    def run(self, case: Case) -> Outcome:
        module = UnlearningModule(case.model, case.forget, case.retain, case.strategy, case.optimizer)
        recorder = Recorder(case)
        trainer(callbacks=[recorder]).fit(module, loader(list(case.batches)))
        parameters = list(case.model.parameters())
        left = sum(p.grad is not None for p in parameters)
        rounds = module.trainer.global_step
        assert rounds == module.host.round
        return Outcome([p.detach() for p in parameters], recorder.reports, rounds, recorder.rates, left)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_both_hosts_make_the_same_bits(name, optimizer):
    case = Case(STRATEGIES[name](), optimizer=OPTIMIZERS[optimizer])
    found = TestLightningHost().run(case).parameters
    model = double_model()
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=case.optimizer(model.parameters()))
    strategy = STRATEGIES[name]()
    for batch in double_batches():
        strategy.step(host, batch)
    assert all(torch.equal(a, b) for a, b in zip(found, model.parameters(), strict=True))


def test_clip_bounds_the_combined_gradient():
    """The direction of NGDiff is longer than 0.1: clipped, every SGD step is 0.1 x the rate long."""
    lengths = []

    class Measure(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.before = torch.nn.utils.parameters_to_vector(module.model.parameters()).clone()

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            after = torch.nn.utils.parameters_to_vector(module.model.parameters())
            lengths.append((after - self.before).norm().item())

    module = UnlearningModule(double_model(), optimizer=lambda p: torch.optim.SGD(p, lr=0.5), clip=0.1)
    trainer(callbacks=[Measure()]).fit(module, loader(double_batches()))
    assert lengths == pytest.approx([0.05] * len(lengths), rel=1e-4)


@pytest.mark.parametrize("plugins", [[], ["16-mixed"]])
def test_an_optimizer_with_state_by_side_is_told_whose_step_it_is(plugins):
    """Also where fp16's scaler stands between the host and the optimizer."""
    told = []

    class Told(SidedSGD):
        def step(self, closure=None, side=None):
            told.append(side)
            super().step(closure, side)

    module = UnlearningModule(ToyClassifier(seed=3), strategy=AlternatingStub(2, 1), optimizer=Told)
    found = [half_precision()] if plugins else []
    trainer(plugins=found).fit(module, loader([toy_pair(seed=r) for r in range(2)]))
    assert told == ["forget", "forget", "retain"] * 2


# ------------------------------------------------------------------------------------------- masks


def chessboard(model):
    """Return masks that keep every other weight."""
    return [(torch.arange(p.numel()) % 2 == 0).view(p.shape) for p in model.parameters()]


class Masked(Callback):
    """Hand the host a mask before the first round."""

    def __init__(self, hard):
        self.hard = hard

    def on_train_start(self, trainer, module):
        module.host.mask = Mask(chessboard(module.model), module.host.parameters, self.hard)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_both_hosts_make_the_same_bits_with_a_mask(name, optimizer):
    found = double_model()
    module = UnlearningModule(found, strategy=STRATEGIES[name](), optimizer=OPTIMIZERS[optimizer])
    trainer(callbacks=[Masked(True)]).fit(module, loader(double_batches()))
    model, strategy = double_model(), STRATEGIES[name]()
    made = OPTIMIZERS[optimizer](model.parameters())
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=made)
    host.mask = Mask(chessboard(model), host.parameters)
    for batch in double_batches():
        strategy.step(host, batch)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True))
    for p, start, keep in zip(
        model.parameters(), double_model().parameters(), chessboard(model), strict=True
    ):
        assert torch.equal(p[~keep], start[~keep])


def test_clips_are_those_of_masked_gradients():
    """Both clips see what may move: with half of it masked out, it is still 0.1 long after them."""
    model = double_model()
    module = UnlearningModule(model, optimizer=lambda p: torch.optim.SGD(p, lr=0.5), clip=0.1)
    trainer(callbacks=[Masked(hard=True)]).fit(module, loader(double_batches()[:1]))
    vector = torch.nn.utils.parameters_to_vector
    moved = vector(model.parameters()) - vector(double_model().parameters())
    assert moved.norm().item() == pytest.approx(0.05, rel=1e-4)
    module = UnlearningModule(double_model(), optimizer=OPTIMIZERS["SGD"], side_clip=0.1)
    trainer(callbacks=[Masked(hard=False)]).fit(module, loader(double_batches()[:1]))
    assert module.last_report.gram.ff.sqrt().item() == pytest.approx(0.1, rel=1e-9)


# ------------------------------------------------------------------------------------------- fp16


@pytest.mark.parametrize("overflow", [False, True])
def test_fp16_steps_leave_masked_weights_alone(overflow):
    """Also where the scaler skips the step."""
    model = ToyClassifier(seed=3)
    module = UnlearningModule(model, optimizer=OPTIMIZERS["AdamW"])
    plugin = half_precision(2.0**40 if overflow else 2.0**10)
    trainer(plugins=[plugin], callbacks=[Masked(hard=True)]).fit(
        module, loader([toy_pair(seed=r) for r in range(30)])
    )
    assert (module.skipped_rounds > 0) is overflow
    for p, start, keep in zip(
        model.parameters(), ToyClassifier(seed=3).parameters(), chessboard(model), strict=True
    ):
        assert torch.equal(p[~keep], start[~keep])
        assert not torch.equal(p[keep], start[keep])


def half_precision(scale=2.0**10):
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "clip"), [("NGDiff", None), ("NGDiff", 0.2), ("LossNorm", None)])
def test_fp16_steps_are_those_of_fp32(name, clip, optimizer):
    """With a loss scale of 1024 the same path but for rounding: also normalized and clipped steps."""
    found = []
    for plugins in ([half_precision()], []):
        model = ToyClassifier(seed=3)
        module = UnlearningModule(model, None, None, STRATEGIES[name](), OPTIMIZERS[optimizer], clip=clip)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(plugins=plugins).fit(module, loader([toy_pair(seed=r) for r in range(6)]))
        start = ToyClassifier(seed=3).parameters()
        found.append(
            torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), start, strict=True)]).detach()
        )
    half, full = found
    assert (half - full).norm() <= 0.02 * full.norm()


def test_fp16_scale_falls_after_an_overflow_and_training_goes_on():
    """At a scale of 2**40 the first backward passes overflow; each skipped round halves the scale."""
    module = UnlearningModule(ToyClassifier(seed=3), optimizer=OPTIMIZERS["SGD"])
    plugin = half_precision(2.0**40)
    batches = [toy_pair(seed=r) for r in range(40)]
    trainer(plugins=[plugin]).fit(module, loader(batches))
    assert 0 < module.skipped_rounds < 40
    assert plugin.scaler.get_scale() == 2.0 ** (40 - module.skipped_rounds)
    assert module.last_report.skipped is None
    assert module.trainer.global_step == 40


def test_fp16_waits_before_it_raises_a_scale_that_was_too_high():
    """As the scaler itself does after an overflow: good steps are counted anew."""
    module = UnlearningModule(Kinked(torch.float32), optimizer=OPTIMIZERS["SGD"])
    plugin = MixedPrecision(
        "16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=4)
    )
    batches = [toy_pair(seed=r) for r in range(7)]
    batches[3]["forget"]["inputs"][0, 0] = 0.0  # three good steps, then a broken gradient
    trainer(plugins=[plugin]).fit(module, loader(batches))
    assert module.skipped_rounds == 1
    assert plugin.scaler.get_scale() == 2.0**9  # and three good ones: not four in a row
    assert plugin.scaler.state_dict()["_growth_tracker"] == 3


def test_fp16_skips_no_more_rounds_for_micro_batches():
    """Sums that are not divided yet would overflow where means do not, at the scale that fp16 starts with."""
    model = ToyClassifier(seed=3)
    module = UnlearningModule(model, optimizer=OPTIMIZERS["SGD"])
    plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    batches = []
    for r in range(8):
        pair = toy_pair(64, 64, seed=r)
        batches.append(
            {side: [{k: v[i::16] for k, v in pair[side].items()} for i in range(16)] for side in pair}
        )
    trainer(plugins=[plugin]).fit(module, loader(batches))
    assert module.skipped_rounds == 0
    assert plugin.scaler.get_scale() == 2.0**16


# ----------------------------------------------------------------------------------------- reseed


def test_reseed_depends_on_seed_round_and_rank():
    def draw(*key):
        reseed(*key)
        return tuple(torch.rand(4).tolist())

    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    draws = {key: draw(*key) for key in keys}
    assert len(set(draws.values())) == len(keys)
    torch.rand(17)
    assert {key: draw(*key) for key in keys} == draws


def test_dropout_is_a_function_of_seed_and_round():
    """Two runs whose round 2 sees the same weights draw the same masks there, whatever came before."""

    class Noisy(ToyClassifier):
        def __init__(self):
            super().__init__(seed=1)
            self.masks = []

        def forward(self, batch):
            mask = torch.nn.functional.dropout(torch.ones_like(batch["inputs"]), 0.5, self.training)
            self.masks.append(mask)
            return self.layer(batch["inputs"] * mask)

    def masks(seed, burn):
        class Burn(Callback):
            def on_train_batch_start(self, trainer, module, batch, batch_idx):
                torch.rand(burn)

        model = Noisy()
        module = UnlearningModule(model, optimizer=OPTIMIZERS["SGD"], seed=seed)
        trainer(callbacks=[Burn()]).fit(module, loader([toy_pair(seed=r) for r in range(3)]))
        return model.masks

    first, again, other = masks(0, burn=1), masks(0, burn=1000), masks(1, burn=1)
    assert len(first) == 6
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[2][: len(first[0])])


def test_a_module_can_be_copied_before_and_after_training():
    module = UnlearningModule(double_model(), optimizer=OPTIMIZERS["SGD"])
    copied = copy.deepcopy(module)
    assert copied.host.module is copied
    assert NGDiff.normalized
