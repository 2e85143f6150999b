"""FinetuningModule in a real trainer."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import Callback

from tests.modules.tiny import flat, loader, quiet, tiny_lm, tokens
from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.modules import FinetuningModule
from unlearnkit.modules.finetuning import warmup_cosine
from unlearnkit.objectives import AscentNLL
from unlearnkit.optim import DualOptimPlus
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.5)


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_steps_descend_on_the_token_mean_with_warm_up_and_cosine():
    batches = [tokens(3, seed) for seed in range(8)]
    module, rates = FinetuningModule(tiny_lm(), optimizer=sgd, warmup_steps=2), Rates()
    quiet(callbacks=[rates]).fit(module, loader(batches))
    assert rates.seen == [0.5 * warmup_cosine(step, 2, 8) for step in range(8)]
    naive = tiny_lm()
    for rate, batch in zip(rates.seen, batches, strict=True):
        loss = naive.losses(batch).sum() / naive.counts(batch).sum()
        grads = torch.autograd.grad(loss, list(naive.parameters()))
        with torch.no_grad():
            for parameter, grad in zip(naive.parameters(), grads, strict=True):
                parameter -= rate * grad
    torch.testing.assert_close(flat(module.model), flat(naive), rtol=0, atol=1e-6)


def test_it_memorises_a_batch():
    """A real, if tiny, run: the loss per token falls below a tenth of a nat."""
    batch = tokens(6, 0)
    module = FinetuningModule(
        tiny_lm(hidden_size=32), optimizer=lambda p: torch.optim.AdamW(p, lr=0.02, fused=True), warmup_steps=5
    )
    trainer = quiet()
    trainer.fit(module, loader([batch] * 80))
    assert trainer.callback_metrics["loss/train"].item() < 0.1


def test_warm_up_takes_a_quarter_of_a_short_run_at_most():
    rates = Rates()
    module = FinetuningModule(ToyClassifier(), optimizer=sgd, warmup_steps=1000)
    quiet(callbacks=[rates]).fit(module, loader([toy_batch(4)] * 8))
    assert rates.seen == [0.5 * warmup_cosine(step, 2, 8) for step in range(8)]


@pytest.mark.parametrize(("warmup", "total"), [(0, 5), (3, 10), (5, 5)])
def test_schedule_rises_to_one_falls_to_zero_and_stays_there(warmup, total):
    factors = [warmup_cosine(step, warmup, total) for step in range(total + 3)]
    assert max(factors) == 1.0
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert factors[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(factor > 0 for factor in factors[: max(warmup, 1)])


def test_another_objective_may_be_minimised():
    module = FinetuningModule(ToyClassifier(), AscentNLL(), optimizer=sgd, warmup_steps=0)
    trainer = quiet()
    trainer.fit(module, loader([toy_batch(4)]))
    expected = -ToyClassifier().losses(toy_batch(4)).mean().item()
    assert trainer.callback_metrics["loss/train"].item() == pytest.approx(expected, rel=1e-6)


def test_accumulation_and_clipping_are_the_trainers():
    module = FinetuningModule(ToyClassifier(dtype=torch.float64), optimizer=sgd, warmup_steps=0)
    start = flat(module.model)
    trainer = quiet(accumulate_grad_batches=2, gradient_clip_val=0.01)
    trainer.fit(module, loader([toy_batch(4, dtype=torch.float64)] * 2))
    assert trainer.global_step == 1
    assert (flat(module.model) - start).norm().item() == pytest.approx(0.5 * 0.01, rel=1e-4)


def test_divergence_stops_with_the_step_before_anything_moves():
    bad = toy_batch(4)
    bad["inputs"][0, 0] = torch.nan
    module = FinetuningModule(ToyClassifier(), optimizer=sgd, warmup_steps=0)
    with pytest.raises(NonFiniteError) as error:
        quiet().fit(module, loader([toy_batch(4), toy_batch(4), bad]))
    assert str(error.value).startswith("The training loss must stay finite. Found nan in step 2.")
    assert all(math.isfinite(value) for value in flat(module.model).tolist())


def test_train_mode_is_set():
    class Look(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            assert module.model.training

    model = tiny_lm().eval()
    quiet(callbacks=[Look()]).fit(FinetuningModule(model, optimizer=sgd), loader([tokens(2, 0)]))


def test_seed_alone_decides_dropout():
    found = []
    for seed, burn in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(burn)
        module = FinetuningModule(tiny_lm(dropout=0.5), optimizer=sgd, warmup_steps=0, seed=seed)
        quiet().fit(module, loader([tokens(3, 1), tokens(3, 2)]))
        found.append(flat(module.model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_warmup_steps_must_not_be_negative():
    with pytest.raises(ConfigurationError, match=r"`warmup_steps` must be 0 or above\. Found -1"):
        FinetuningModule(ToyClassifier(), warmup_steps=-1)


def test_a_negative_rate_fails_at_once():
    with pytest.raises(ConfigurationError, match="Learning rates must be 0 or above"):
        FinetuningModule(ToyClassifier(), optimizer=lambda p: torch.optim.SGD(p, lr=-0.1))


def test_an_optimizer_with_a_state_for_each_side_is_refused():
    """It would move nothing, and say nothing."""
    module = FinetuningModule(tiny_lm(), optimizer=lambda p: DualOptimPlus(p, lr=0.1))
    with pytest.raises(ConfigurationError, match=r"`optimizer` DualOptimPlus keeps a state for each side"):
        quiet().fit(module, loader([tokens(4, 0)]))
