"""UnlearningModule in real trainers: rounds, reference, scheduler, logs, divergence, checkpoints."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from tests.modules.tiny import flat, loader, pairs, quiet, tiny_lm, tokens
from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.host import PlainHost
from unlearnkit.models import LoRA
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, NPO, AscentNLL, KLToReference
from unlearnkit.strategies import FixedWeights, ForgetOnly, LossNorm, NGDiff, RetainOnly
from unlearnkit.testing.host_contract import STRATEGIES
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


class Watch(Callback):
    """Keep what ``look`` says of the module after each round."""

    def __init__(self, look):
        self.look = look
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.seen.append(self.look(module))


# ------------------------------------------------------------------------------------- one round


@pytest.mark.parametrize(
    "strategy",
    [NGDiff(), FixedWeights(0.5), LossNorm(), RetainOnly(), ForgetOnly()],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize("retain", [NLL(), KLToReference()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("forget", [AscentNLL(), NPO()], ids=lambda o: type(o).__name__)
def test_any_objective_works_with_any_strategy(strategy, retain, forget):
    """On a language model, through the trainer, the same bits as in plain torch."""
    module = UnlearningModule(tiny_lm(), forget, retain, strategy, sgd)
    quiet().fit(module, loader(pairs(3)))
    model, target = tiny_lm(), tiny_lm().eval()
    host = PlainHost(
        model, forget=forget, retain=retain, optimizer=sgd(model.parameters()), reference=lambda: target
    )
    for batch in pairs(3):
        strategy.step(host, batch)
    assert torch.equal(flat(module.model), flat(model))


def test_defaults_are_ngdiff_with_ascent_and_fused_adamw():
    module = UnlearningModule(ToyClassifier())
    assert isinstance(module.strategy, NGDiff)
    assert isinstance(module.objective("forget"), AscentNLL)
    assert isinstance(module.objective("retain"), NLL)
    quiet(max_steps=1).fit(module, loader([toy_pair()]))
    group = module.optimizers().param_groups[0]
    assert (group["lr"], group["weight_decay"], group["fused"]) == (3e-4, 0.0, True)


def test_max_steps_counts_rounds():
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    quiet(max_steps=4, max_epochs=-1).fit(module, loader([toy_pair(seed=r) for r in range(3)]))
    assert module.trainer.global_step == 4


def test_a_list_of_micro_batches_is_one_large_batch():
    found = []
    for cut in (False, True):
        model = tiny_lm().double()
        batch = {"forget": tokens(5, 0), "retain": tokens(6, 1)}
        if cut:
            batch = {
                side: [{k: v[part] for k, v in whole.items()} for part in (slice(0, 1), slice(1, None))]
                for side, whole in batch.items()
            }
        quiet().fit(UnlearningModule(model, optimizer=sgd), loader([batch] * 2))
        found.append(flat(model))
    # Llama's RMS norm computes in fp32 whatever the weights' type, and rounds sums otherwise than means.
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-7)


def test_train_mode_is_set_even_for_a_network_that_came_in_eval_mode():
    model = tiny_lm().eval()
    watch = Watch(lambda module: module.model.training)
    quiet(callbacks=[watch]).fit(UnlearningModule(model, optimizer=sgd), loader(pairs(2)))
    assert watch.seen == [True, True]


# ------------------------------------------------------------------------------------- reference


def test_reference_is_frozen_in_eval_mode_and_outside_the_module():
    model = tiny_lm(dropout=0.2)
    start = flat(model)
    look = Watch(lambda m: (m.reference().training, flat(m.reference()), m.reference() is m.model))
    module = UnlearningModule(model, NPO(), KLToReference(), optimizer=sgd)
    quiet(callbacks=[look]).fit(module, loader(pairs(4)))
    for training, values, same in look.seen:
        assert not training
        assert not same
        assert torch.equal(values, start)
    assert not torch.equal(flat(model), start)
    assert not any(p.requires_grad for p in module.reference().parameters())
    assert set(module.state_dict()) == {f"model.{name}" for name in model.state_dict()}
    assert len(list(module.parameters())) == len(list(model.parameters()))


def test_no_reference_is_made_where_none_is_needed():
    module = UnlearningModule(tiny_lm(), optimizer=sgd)
    quiet(max_steps=1).fit(module, loader(pairs(1)))
    with pytest.raises(ConfigurationError, match="`reference` must be there before the first round"):
        module.reference()


def test_no_reference_is_made_for_a_side_that_the_strategy_leaves_alone():
    module = UnlearningModule(tiny_lm(), NPO(), NLL(), RetainOnly(), optimizer=sgd)
    quiet(max_steps=1).fit(module, loader(pairs(1)))
    with pytest.raises(ConfigurationError):
        module.reference()


def test_reference_after_a_resume_is_the_target_and_not_the_checkpoint(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    module = UnlearningModule(tiny_lm(), NPO(), optimizer=sgd)
    quiet(callbacks=[checkpoint], enable_checkpointing=True).fit(module, loader(pairs(3)))
    target = tiny_lm()
    resumed = UnlearningModule(tiny_lm(), NPO(), optimizer=sgd)
    seen = []

    class Look(Callback):
        def on_train_start(self, trainer, module):
            seen.append((flat(module.model), flat(module.reference())))

    path = tmp_path / "step=2.ckpt"
    quiet(callbacks=[Look()], max_steps=3).fit(resumed, loader(pairs(3)), ckpt_path=path, weights_only=True)
    assert not torch.equal(seen[0][0], flat(target))
    assert torch.equal(seen[0][1], flat(target))


# ------------------------------------------------------------------------------------------ logs


def test_a_round_logs_losses_gram_weights_and_effects(tmp_path):
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    watch = Watch(lambda module: module.last_report)
    trainer = quiet(logger=CSVLogger(tmp_path), log_every_n_steps=1, callbacks=[watch])
    trainer.fit(module, loader([toy_pair(seed=r) for r in range(3)]))
    metrics, report = trainer.callback_metrics, watch.seen[-1]
    for name, expected in {
        "loss/retain": report.losses["retain"],
        "loss/forget": report.losses["forget"],
        "weight/retain": report.weights.retain,
        "weight/forget": report.weights.forget,
        "gram/retain_retain": report.gram.rr,
        "gram/forget_forget": report.gram.ff,
        "gram/retain_forget": report.gram.rf,
        "gram/cosine": report.gram.cosine,
        "gram/direction_norm": report.gram.norm(report.weights),
        "lemma4/retain": report.gram.retain_effect(report.weights),
        "lemma4/forget": report.gram.forget_effect(report.weights),
    }.items():
        assert metrics[name].item() == pytest.approx(expected.item(), rel=1e-6), name
    # With SGD the step is rate x direction, so its first-order effects are Lemma 4's times the rate.
    assert metrics["effect/retain"].item() == pytest.approx(0.1 * metrics["lemma4/retain"].item(), rel=1e-4)
    assert metrics["effect/forget"].item() == pytest.approx(0.1 * metrics["lemma4/forget"].item(), rel=1e-4)
    assert metrics["lr"].item() == pytest.approx(0.1)
    assert metrics["skipped"].item() == 0
    lines = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()
    assert len(lines) == 4


@pytest.mark.parametrize("every", [0, 2])
@pytest.mark.parametrize("name", ["effect/retain", "gram/cosine", "lr"])
def test_what_costs_is_logged_at_the_logging_interval_alone(tmp_path, every, name):
    """The effects cost three copies of the parameters, the rest milliseconds: no other round pays for them."""
    names = Watch(lambda module: name in module.trainer.callback_metrics)
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    trainer = quiet(logger=CSVLogger(tmp_path), log_every_n_steps=every, callbacks=[names])
    trainer.fit(module, loader([toy_pair(seed=r) for r in range(2)]))
    assert names.seen == [False, every == 2]
    assert set(trainer.callback_metrics) >= {"loss/retain", "loss/forget"}


def test_logged_rate_is_the_one_that_was_used():
    class Scale(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            module.host.lr_scale = 0.5

    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    trainer = quiet(callbacks=[Scale()], log_every_n_steps=1)
    trainer.fit(module, loader([toy_pair()]))
    assert trainer.callback_metrics["lr"].item() == pytest.approx(0.05)


# ------------------------------------------------------------------------------------ divergence


def test_divergence_names_side_round_and_checkpoint_and_leaves_it_whole(tmp_path):
    batches = [toy_pair(seed=r) for r in range(5)]
    batches[3]["forget"]["inputs"][0, 0] = torch.nan
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    watch = Watch(lambda module: flat(module.model))
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    trainer = quiet(callbacks=[watch, checkpoint], enable_checkpointing=True)
    with pytest.raises(NonFiniteError) as error:
        trainer.fit(module, loader(batches))
    kept = tmp_path / "step=3.ckpt"
    assert "The forget loss must stay finite. Found nan in round 3." in str(error.value)
    assert f"The last good checkpoint is kept: {kept}." in str(error.value)
    assert "max_steps" in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step=1.ckpt", "step=2.ckpt", "step=3.ckpt"]
    saved = torch.load(kept, weights_only=True)
    assert saved["global_step"] == 3
    weights = torch.cat(
        [saved["state_dict"][f"model.{n}"].flatten() for n, _ in module.model.named_parameters()]
    )
    assert torch.equal(weights, watch.seen[-1])
    assert torch.isfinite(weights).all()


def test_divergence_without_checkpoints_names_none():
    batch = toy_pair()
    batch["retain"]["inputs"][0, 0] = torch.inf
    with pytest.raises(NonFiniteError) as error:
        quiet().fit(UnlearningModule(ToyClassifier(), optimizer=sgd), loader([batch]))
    assert "checkpoint" not in str(error.value)
    assert "in round 0." in str(error.value)


# ----------------------------------------------------------------------------------- checkpoints


def test_skipped_rounds_survive_a_resume(tmp_path):
    same = toy_batch(4)
    batches = [
        toy_pair(),
        {"forget": same, "retain": same},
        toy_pair(seed=1),
        {"forget": same, "retain": same},
    ]
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    quiet(callbacks=[checkpoint], enable_checkpointing=True, max_steps=3).fit(module, loader(batches))
    assert module.skipped_rounds == 1
    again = UnlearningModule(ToyClassifier(), optimizer=sgd)
    quiet(max_steps=4).fit(
        again, loader([batches[3]] * 4), ckpt_path=tmp_path / "step=3.ckpt", weights_only=True
    )
    assert again.skipped_rounds == 2
    assert again.trainer.global_step == 4


# --------------------------------------------------------------------------------------- loss_on


@pytest.mark.parametrize("training", [True, False])
def test_loss_on_is_the_objective_in_eval_mode_in_float64_and_leaves_the_mode(training):
    module = UnlearningModule(tiny_lm(dropout=0.5), optimizer=sgd)
    quiet(max_steps=1).fit(module, loader(pairs(1)))
    batch = tokens(5, 8)
    module.model.train(training)
    total, count = module.loss_on("forget", batch)
    again, _ = module.loss_on("forget", batch)
    parts = [{k: v[p] for k, v in batch.items()} for p in (slice(0, 2), slice(2, None))]
    cut, cut_count = module.loss_on("forget", parts)
    assert module.model.training is training
    module.model.eval()
    with torch.no_grad():
        expected = -module.model.losses(batch).double().sum()
    assert total.dtype == count.dtype == torch.float64
    assert torch.equal(total, expected)
    assert torch.equal(total, again)
    assert count.item() == cut_count.item() == (batch["labels"] >= 0).sum().item()
    assert cut.item() == pytest.approx(total.item(), rel=1e-6)
    assert not total.requires_grad


def test_loss_on_uses_the_reference_where_the_objective_does():
    module = UnlearningModule(tiny_lm(), NPO(beta=0.5), optimizer=sgd)
    quiet(max_steps=1).fit(module, loader(pairs(1)))
    batch = tokens(3, 4)
    total, count = module.loss_on("forget", batch)
    module.model.eval()
    value = NPO(beta=0.5)(module.model, batch, tiny_lm)
    assert total.item() == pytest.approx(value.sums.sum().item(), rel=1e-6)
    assert count.item() == 3


def test_loss_on_puts_the_mode_back_after_an_error():
    module = UnlearningModule(ToyClassifier(), NPO(), optimizer=sgd)
    with pytest.raises(ConfigurationError):
        module.loss_on("forget", toy_batch(2))
    assert module.model.training


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_clip_must_be_positive(clip):
    with pytest.raises(ConfigurationError, match=r"`clip` must be above 0.* Use clip=1\.0"):
        UnlearningModule(ToyClassifier(), clip=clip)


def test_a_negative_rate_fails_before_anything_is_loaded():
    with pytest.raises(ConfigurationError) as error:
        UnlearningModule(ToyClassifier(), optimizer=lambda p: torch.optim.AdamW(p, lr=-1e-3))
    assert "`optimizer` must get arguments in its range." in str(error.value)
    assert "-0.001" in str(error.value)
    assert "Learning rates must be 0 or above" in str(error.value)


def test_predictions_of_a_model_without_text_are_its_outputs():
    module = UnlearningModule(ToyClassifier(), optimizer=sgd)
    batches = [toy_batch(3), toy_batch(2, seed=1)]
    outputs = quiet().predict(module, loader(batches))
    assert [tuple(o.shape) for o in outputs] == [(3, 3), (2, 3)]
    assert torch.equal(outputs[0], module.model(batches[0]))


def test_a_model_of_which_nothing_can_move_is_refused():
    model = ToyClassifier().requires_grad_(False)
    with pytest.raises(
        ConfigurationError, match=r"`model` must have a trainable parameter\. Found none in Toy"
    ):
        quiet().fit(UnlearningModule(model, optimizer=sgd), loader([toy_pair()]))


def test_half_precision_that_would_round_adapters_is_refused():
    module = UnlearningModule(tiny_lm(lora=LoRA(rank=2)))
    with pytest.raises(ConfigurationError, match=r"`precision` must leave an adapter in fp32.*'bf16-true'"):
        quiet(precision="bf16-true").fit(module, loader(pairs(1)))


@pytest.mark.parametrize("name", [n for n, make in STRATEGIES.items() if list(make().buffers())])
def test_half_precision_leaves_a_strategy_s_state_alone(name):
    """In bf16 a counter stops at 256, and small changes of a weight are rounded away."""
    strategy = STRATEGIES[name]()
    types = [b.dtype for b in strategy.buffers()]
    module = UnlearningModule(ToyClassifier(), strategy=strategy, optimizer=sgd)
    batches = [toy_pair(seed=r) for r in range(2)]
    quiet(precision="bf16-true").fit(module, loader(batches))
    assert next(module.model.parameters()).dtype == torch.bfloat16
    assert [b.dtype for b in module.strategy.buffers()] == types
