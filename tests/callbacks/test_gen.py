"""GeN in real Lightning runs: rates, schedules, resume, order of callbacks, bad combinations."""

from itertools import pairwise

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset

from unlearnkit.callbacks import GeN
from unlearnkit.errors import ConfigurationError, UnlearnKitWarning
from unlearnkit.gradients.gen_step import GeNCore
from unlearnkit.host import PlainHost
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import FixedWeights, ForgetOnly, NGDiff
from unlearnkit.testing import ToyClassifier, toy_pair

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


class Rounds(Dataset):
    """Round i's pair of batches, a function of i."""

    def __init__(self, n=64, offset=0):
        self.n, self.offset = n, offset

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return toy_pair(seed=i + self.offset)


class Data(LightningDataModule):
    """A stream that a resumed run continues, and fresh batches of its own."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def train_dataloader(self):
        start = self.trainer.global_step if self.trainer is not None else 0
        return DataLoader(Rounds(offset=start), batch_size=None)

    def probe_batch(self, side, round_):
        self.asked.append((side, round_))
        return toy_pair(seed=1000 + round_, retain=40)[side]


def module_for(optimizer=None, scheduler=None, strategy=None, model=None):
    return UnlearningModule(
        model if model is not None else ToyClassifier(seed=0),
        strategy=strategy if strategy is not None else NGDiff(),
        optimizer=optimizer or (lambda p: torch.optim.SGD(p, lr=1e-3)),
        scheduler=scheduler,
    )


def fit(module, rounds, callbacks, folder, ckpt_path=None, logger=False, **arguments):
    trainer = Trainer(
        max_steps=rounds,
        max_epochs=-1,
        accelerator="cpu",
        logger=logger,
        callbacks=callbacks,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **arguments,
    )
    data = Data()
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return trainer, data


def parameters(module):
    return torch.cat([p.detach().flatten().clone() for p in module.model.parameters()])


class Rates(Callback):
    """Notes the rate each optimizer step really had, and the scale left by each round."""

    def __init__(self):
        self.rates, self.scales, self.scheduled, self.points = [], [], [], []

    def on_train_start(self, trainer, pl_module):
        trainer.optimizers[0].register_step_pre_hook(
            lambda o, *_: self.rates.append([g["lr"] for g in o.param_groups])
        )

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.scheduled.append([g["lr"] for g in trainer.optimizers[0].param_groups])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.scales.append(pl_module.host.lr_scale)
        self.points.append(parameters(pl_module))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_lightning_run_equals_the_core_in_plain_torch(tmp_path, name):
    """Round by round the same bits: the callback adds hooks and nothing else."""
    make = {"sgd": lambda p: torch.optim.SGD(p, lr=1e-4), "adamw": lambda p: torch.optim.AdamW(p, lr=1e-4)}[
        name
    ]
    module, rates = module_for(make), Rates()
    fit(module, 7, [rates, gen := GeN(every=3)], tmp_path)

    model = ToyClassifier(seed=0)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=make(model.parameters()))
    core, strategy = GeNCore(every=3), NGDiff()
    for i in range(7):
        core.step(strategy, host, Rounds()[i])
        here = torch.cat([p.detach().flatten() for p in model.parameters()])
        torch.testing.assert_close(rates.points[i], here, rtol=2e-4, atol=1e-5)
        assert rates.scales[i] == pytest.approx(host.lr_scale, rel=2e-3)
    assert gen.core.fits == core.fits == 3
    assert host.lr_scale > 10


SCHEDULES = {
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda r: 1 / (1 + r)),
    "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=[0.1, 0.01], total_steps=20),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=10),
    "linear": lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=6),
}


def two_groups(parameters):
    weight, *bias = list(parameters)
    groups = [{"params": [weight], "lr": 0.02}]
    return torch.optim.SGD(groups + [{"params": bias, "lr": 0.002}] * bool(bias))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_is_the_scheduled_one_times_the_scale(tmp_path, schedule):
    """In every round and group; the schedule itself is the one of a run without GeN."""
    rates, bare = Rates(), Rates()
    module = module_for(two_groups, SCHEDULES[schedule])
    fit(module, 8, [GeN(every=2), rates], tmp_path)
    fit(module_for(two_groups, SCHEDULES[schedule]), 8, [bare], tmp_path)
    assert rates.scheduled == bare.scheduled == bare.rates
    scales = [1.0, *rates.scales[:-1]]
    assert len(set(scales)) > 2
    for used, scheduled, scale in zip(rates.rates, rates.scheduled, scales, strict=True):
        assert used == [rate * scale for rate in scheduled]


@pytest.mark.parametrize("preset", ["paper", "autogen"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, preset):
    def adam(p):
        return torch.optim.AdamW(p, lr=1e-3)

    def schedule(o):
        return torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=20)

    for stop in (1, 4, 5):
        whole, gen = module_for(adam, schedule), GeN(every=4, preset=preset)
        saved = ModelCheckpoint(tmp_path / f"{preset}{stop}", every_n_train_steps=stop, save_top_k=-1)
        fit(whole, 11, [gen, saved], tmp_path)
        path = next((tmp_path / f"{preset}{stop}").glob(f"*step={stop}.ckpt"))
        resumed, again = module_for(adam, schedule), GeN(every=4, preset=preset)
        fit(resumed, 11, [again], tmp_path, ckpt_path=path)
        assert torch.equal(parameters(whole), parameters(resumed)), stop
        assert again.state_dict() == gen.state_dict()
        assert resumed.host.lr_scale == whole.host.lr_scale != 1.0


def test_autogen_asks_for_a_fresh_batch_where_a_fit_is_due_and_once(tmp_path):
    gen = GeN(every=3, preset="autogen")
    _, data = fit(module_for(), 8, [gen], tmp_path)
    assert data.asked == [("retain", 0), ("retain", 3), ("retain", 6)]
    assert gen.core.fits == 3
    _, data = fit(module_for(), 4, [GeN(every=3)], tmp_path)
    assert data.asked == []


def test_autogen_fits_the_loss_of_the_fresh_batch(tmp_path):
    gen, module = GeN(every=1, preset="autogen", safeguard=False), module_for()
    before = module.model.losses(toy_pair(seed=1000, retain=40)["retain"]).mean().item()
    fit(module, 1, [gen], tmp_path)
    assert gen.last_fit.parabola.centre == pytest.approx(before, rel=1e-6)


class Watch(Callback):
    """An average, or any other callback that reads the model after a round."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(parameters(pl_module))


def test_callbacks_listed_before_gen_see_the_accepted_point(tmp_path):
    first, last, gen = Watch(), Watch(), GeN(every=2)
    trainer, _ = fit(module_for(), 5, [first, gen, last], tmp_path)
    assert trainer.callbacks[0] is gen
    assert all(torch.equal(a, b) for a, b in zip(first.seen, last.seen, strict=True))
    assert len(first.seen) == len(last.seen) == 5


def test_what_is_logged(tmp_path):
    logger = CSVLogger(tmp_path, name="log")
    gen = GeN(every=2)
    trainer, _ = fit(module_for(), 4, [gen], tmp_path, logger=logger)
    logged = trainer.logged_metrics
    assert {"gen/scale", "gen/slope", "gen/curvature", "gen/multiplier", "gen/refused"} <= set(logged)
    assert float(logged["gen/scale"]) == pytest.approx(gen.core.scale)
    assert float(logged["gen/multiplier"]) == pytest.approx(gen.last_fit.multiple)
    assert float(logged["gen/slope"]) == pytest.approx(gen.last_fit.parabola.slope)
    assert float(logged["gen/refused"]) == sum(gen.core.refusals.values())


def test_rounds_are_counted_and_the_optimizer_steps_once_a_round(tmp_path):
    module, rates = module_for(lambda p: torch.optim.AdamW(p, lr=1e-3)), Rates()
    trainer, _ = fit(module, 6, [GeN(every=1), rates], tmp_path)
    assert trainer.global_step == len(rates.rates) == 6
    assert {float(s["step"]) for s in trainer.optimizers[0].state.values()} == {6.0}


class Dropped(ToyClassifier):
    """A classifier with dropout."""

    def forward(self, batch):
        return self.layer(nn.functional.dropout(batch["inputs"], 0.3, self.training))


def test_dropout_is_off_in_probes_and_on_again_after(tmp_path):
    module, gen = module_for(model=Dropped(seed=0)), GeN(every=1, safeguard=False)
    fit(module, 3, [gen], tmp_path)
    assert gen.core.own_loss is False
    assert module.model.training
    again, same = module_for(model=Dropped(seed=0)), GeN(every=1, safeguard=False)
    fit(again, 3, [same], tmp_path)
    assert same.last_fit == gen.last_fit


def test_a_round_the_strategy_skips_is_not_fitted(tmp_path):
    class Empty(Data):
        def train_dataloader(self):
            pair = toy_pair(seed=0)
            pair["forget"] = pair["retain"]  # exactly opposite gradients: NGDiff skips
            return DataLoader([pair] * 4, batch_size=None)

    module, gen = module_for(), GeN(every=1)
    trainer = Trainer(
        max_steps=4, accelerator="cpu", logger=False, callbacks=[gen], enable_checkpointing=False
    )
    trainer.fit(module, datamodule=Empty())
    assert module.skipped_rounds == 4
    assert (gen.core.fits, gen.core.first, module.host.lr_scale) == (0, True, 1.0)


def test_un_normalized_strategies_hold_the_length(tmp_path):
    watch = Watch()
    start = parameters(module := module_for(strategy=FixedWeights(c=0.9)))
    fit(module, 6, [GeN(every=3), watch], tmp_path)
    points = [start, *watch.seen]
    lengths = [float((b - a).norm()) for a, b in pairwise(points)]
    assert lengths[1:3] == pytest.approx([lengths[0]] * 2, rel=1e-4)
    assert lengths[4:] == pytest.approx([lengths[3]] * 2, rel=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("preset", ["paper", "autogen"])
def test_the_first_round_finds_one_rate_from_any_start(tmp_path, optimizer, preset):
    ends = []
    for lr in (1e-5, 1e-3, 1e-1):
        module = module_for(lambda p, lr=lr: optimizer(p, lr=lr))
        fit(module, 1, [GeN(preset=preset)], tmp_path)
        assert bool(parameters(module).isfinite().all())
        ends.append(lr * module.host.lr_scale)
    assert max(ends) / min(ends) < 1.5  # four decades of starts


def test_pure_ascent_is_refused_and_says_so(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"`strategy` must have a retain side.*ForgetOnly.*Use a str"
    ):
        fit(module_for(strategy=ForgetOnly()), 2, [GeN()], tmp_path)


def test_a_retain_loss_that_only_rises_warns(tmp_path):
    class Same(Data):
        def train_dataloader(self):
            pair = toy_pair(seed=0)
            pair["forget"] = pair["retain"]
            return DataLoader([pair] * 8, batch_size=None)

    module = module_for(lambda p: torch.optim.SGD(p, lr=0.05), strategy=FixedWeights(c=0.1))
    trainer = Trainer(
        max_steps=6, accelerator="cpu", logger=False, callbacks=[GeN(every=1)], enable_checkpointing=False
    )
    with pytest.warns(UnlearnKitWarning, match="refused its first 5 fits"):
        trainer.fit(module, datamodule=Same())
    assert module.host.lr_scale == 1.0


class Plain(LightningModule):
    """A module that is no UnlearningModule."""

    def configure_optimizers(self):
        return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)

    def training_step(self, batch, batch_idx):
        return torch.zeros((), requires_grad=True)


def test_other_modules_and_missing_fresh_batches_are_refused(tmp_path):
    loader = DataLoader(Rounds(4), batch_size=None)
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "max_steps": 2,
        "default_root_dir": tmp_path,
    }
    with pytest.raises(ConfigurationError, match=r"UnlearningModule.*Found Plain"):
        Trainer(callbacks=[GeN()], **quiet).fit(Plain(), loader)
    with pytest.raises(ConfigurationError, match=r"probe_batch.*Found NoneType.*preset='paper'"):
        Trainer(callbacks=[GeN(preset="autogen")], **quiet).fit(module_for(), loader)
    Trainer(callbacks=[GeN()], **quiet).fit(module_for(), loader)


def test_a_new_callback_starts_at_one(tmp_path):
    seed_everything(0)
    module = module_for()
    fit(module, 1, [GeN()], tmp_path)
    assert module.host.lr_scale != 1.0
    rates = Rates()
    fit(module, 1, [GeN(), rates], tmp_path)
    assert rates.rates == [[1e-3]]


@pytest.mark.parametrize("preset", ["paper", "autogen"])
def test_a_language_model_on_generated_authors(tmp_path, preset):
    """The real parts together: TOFU's form, a small Llama, AdamW; from a start rate that is far too low."""
    from unlearnkit.datamodules import TOFU
    from unlearnkit.models import CausalLM

    module = UnlearningModule(
        CausalLM(hidden_size=32, layers=1, heads=2, max_length=128),
        optimizer=lambda p: torch.optim.AdamW(p, lr=1e-6, fused=True),
    )
    gen = GeN(every=2, preset=preset)
    trainer = Trainer(
        max_steps=5,
        accelerator="cpu",
        logger=False,
        callbacks=[gen],
        enable_checkpointing=False,
        enable_progress_bar=False,
        limit_val_batches=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, TOFU(authors=8, questions=4, vocab_size=400))
    assert gen.core.fits == 3
    assert module.host.lr_scale > 10.0
    assert trainer.global_step == 5
    assert bool(parameters(module).isfinite().all())
