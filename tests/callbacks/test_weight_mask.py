"""WeightMask: the mask is made of whole sides before the first round, holds in all of them, and outlives a resume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import SGD, AdamW

from tests.callbacks.runs import batch_of, fit, fit_plain, flat, learned, module_for, rows
from unlearnkit.callbacks import CollapseGuard, GeN, WeightMask
from unlearnkit.datamodules import TOFU, Images
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError, UnknownNameError
from unlearnkit.gradients import saliency_mask
from unlearnkit.models import ImageClassifier
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import RandomLabels
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, FixedWeights, NGDiff
from unlearnkit.testing import ToyClassifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIZE = 4
SGD_ALONE = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1)
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": SGD_ALONE, "strategy": Alternate},
    "sgd-joint": {"optimizer": SGD_ALONE, "strategy": FixedWeights},
    "adamw": {"optimizer": partial(AdamW, lr=0.02, weight_decay=0.3), "strategy": NGDiff},
    "dualoptim": {
        "optimizer": partial(DualOptim, forget=partial(AdamW, lr=0.02, weight_decay=0.3), retain=SGD_ALONE),
        "strategy": Alternate,
    },
    "dualoptim-plus": {
        "optimizer": partial(DualOptimPlus, lr=0.02, forget_lr=0.01, weight_decay=0.3),
        "strategy": partial(Alternate, 1, 2, forget_clip=1.0),
    },
}


def make(name: str, **changes: Any) -> UnlearningModule:
    found = SETTINGS[name] | changes
    return module_for(strategy=found["strategy"](), optimizer=found["optimizer"])


def target() -> ToyClassifier:
    model = ToyClassifier()
    model.load_state_dict(learned())
    return model


def kept(callback: WeightMask) -> torch.Tensor:
    """Return where weights may move, [n]."""
    assert callback.masks is not None
    return torch.cat([mask.flatten() for mask in callback.masks.values()])


def whole_side(side: str) -> list[dict[str, torch.Tensor]]:
    """Return all samples of a side in order, cut by hand."""
    batch = batch_of(side)
    number = len(batch["index"])
    return [{name: value[i : i + SIZE] for name, value in batch.items()} for i in range(0, number, SIZE)]


# ---------------------------------------------------------------------------------- what it does


@pytest.mark.parametrize("name", SETTINGS)
def test_masked_weights_are_bit_identical_after_20_rounds(name: str, tmp_path: Path) -> None:
    module, callback = make(name), WeightMask(keep=0.5)
    before = flat(module)
    fit(module, 20, [callback], tmp_path)
    assert kept(callback).sum() == 9
    assert torch.equal(flat(module)[~kept(callback)], before[~kept(callback)])
    assert (flat(module)[kept(callback)] != before[kept(callback)]).all()
    optimizer = module.trainer.optimizers[0]
    for p, mask in zip(module.model.parameters(), callback.masks.values(), strict=True):
        states = [s for s in optimizer.state[p].values() if torch.is_tensor(s) and s.shape == p.shape]
        assert states
        assert not any(state[~mask].any() for state in states)


def test_a_soft_mask_lets_repair_steps_move_all_weights(tmp_path: Path) -> None:
    """SFRon: forget steps move what is kept; without a forget step nothing is masked at all."""
    moved = {}
    for hard in (True, False):
        module, callback = make("sgd", optimizer=partial(SGD, lr=0.1)), WeightMask(keep=0.5, hard=hard)
        before = flat(module)
        fit(module, 3, [callback], tmp_path)
        moved[hard] = (flat(module) != before)[~kept(callback)]
    assert not moved[True].any()
    assert moved[False].all()


@pytest.mark.parametrize("score", ["salun", "salun_difference", "fisher_ratio"])
def test_the_mask_is_made_of_whole_sides_of_the_target(score: Any, tmp_path: Path) -> None:
    callback = WeightMask(score=score)
    fit(make("sgd"), 2, [callback], tmp_path)
    expected = saliency_mask(target(), whole_side, score)
    assert all(torch.equal(a, b) for a, b in zip(callback.masks.values(), expected, strict=True))
    assert 0 < kept(callback).sum() < 18


def test_the_first_batches_alone_may_be_scored(tmp_path: Path) -> None:
    callback = WeightMask(score="salun_difference", batches=1)
    fit(make("sgd"), 1, [callback], tmp_path)
    expected = saliency_mask(target(), lambda side: whole_side(side)[:1], "salun_difference")
    assert all(torch.equal(a, b) for a, b in zip(callback.masks.values(), expected, strict=True))
    assert not torch.equal(
        kept(callback),
        torch.cat([m.flatten() for m in saliency_mask(target(), whole_side, "salun_difference")]),
    )


def test_scoring_changes_no_draw_and_no_weight(tmp_path: Path) -> None:
    """A mask that keeps everything is no mask: the same bits as without it."""
    found = []
    for callbacks in ([], [WeightMask(keep=1.0)]):
        module = make("adamw")
        fit(module, 5, callbacks, tmp_path)
        found.append(flat(module))
    assert torch.equal(*found)


def test_the_fraction_is_logged_and_the_host_is_left_without_a_mask(tmp_path: Path) -> None:
    module, callback = make("sgd"), WeightMask(keep=0.25)
    trainer = fit(module, 2, [callback], tmp_path)
    assert trainer.callback_metrics["mask/kept"].item() == pytest.approx(4 / 18)
    assert module.host.mask is None
    before = flat(module)
    fit(module, 2, [], tmp_path)
    assert (flat(module) != before).all()


def test_the_next_fit_scores_anew(tmp_path: Path) -> None:
    callback = WeightMask(keep=0.5)
    fit(make("sgd"), 1, [callback], tmp_path)
    other = ToyClassifier(seed=9)
    fit(UnlearningModule(other, optimizer=SGD_ALONE), 1, [callback], tmp_path)
    expected = saliency_mask(ToyClassifier(seed=9), whole_side, "salun")
    assert all(torch.equal(a, b) for a, b in zip(callback.masks.values(), expected, strict=True))


def test_gen_and_a_guard_keep_masked_weights_still(tmp_path: Path) -> None:
    """GeN writes points along the displacement, the guard old states: neither moves what did not move."""
    module, callback = make("sgd-joint"), WeightMask(keep=0.5)
    before = flat(module)
    callbacks = [GeN(every=2), callback, CollapseGuard(every=2, norm_factor=1.01)]
    fit(module, 12, callbacks, tmp_path)
    assert torch.equal(flat(module)[~kept(callback)], before[~kept(callback)])
    assert (flat(module)[kept(callback)] != before[kept(callback)]).all()
    assert callbacks[2].rollbacks > 0


def test_images_are_scored_without_augmentation(tmp_path: Path) -> None:
    found = []
    for augment in ("none", "crop"):
        data = Images("digits", per_class=12, augment=augment, train_batch_size=50)
        model = ImageClassifier(seed=1)
        module = UnlearningModule(model, forget=RandomLabels(), strategy=Alternate(), optimizer=SGD_ALONE)
        callback = WeightMask(score="fisher_ratio", hard=False)
        fit(module, 1, [callback], tmp_path, data=data)
        found.append(kept(callback))
    assert torch.equal(*found)
    assert found[0].any() and not found[0].all()


def test_language_models_are_masked_too(tmp_path: Path) -> None:
    from tests.modules.tiny import tiny_lm

    data = TOFU(authors=10, questions=3, vocab_size=300, max_length=128, knowledge=False, train_batch_size=8)
    module = UnlearningModule(tiny_lm(vocabulary=300, max_length=128), optimizer=SGD_ALONE)
    before, callback = flat(module), WeightMask(score="salun_difference", keep=0.1)
    fit(module, 2, [callback], tmp_path, data=data)
    assert kept(callback).sum() == int(len(before) * 0.1)
    assert torch.equal(flat(module)[~kept(callback)], before[~kept(callback)])
    assert not torch.equal(flat(module), before)


# -------------------------------------------------------------------------------------- resuming


class NoMore(PairedDatasets):
    """Data whose sides must not be gone through again."""

    def batches(self, side):
        raise AssertionError("the mask was computed again")


@pytest.mark.parametrize("name", ["sgd", "dualoptim", "dualoptim-plus"])
@pytest.mark.parametrize("stop", [1, 5])
def test_a_resumed_run_ends_with_the_same_bits(name: str, stop: int, tmp_path: Path) -> None:
    def callback():
        return WeightMask(score="salun_difference", keep=0.4)

    module, mask = make(name), callback()
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    fit(module, 8, [mask, keep], tmp_path)
    resumed, again = make(name), callback()
    data = NoMore(rows("forget"), rows("retain"), batch_size=SIZE)
    fit(resumed, 8, [again], tmp_path, data=data, ckpt_path=tmp_path / f"step={stop}.ckpt")
    assert torch.equal(flat(resumed), flat(module))
    assert torch.equal(kept(again), kept(mask))


def test_a_checkpoint_holds_a_bit_for_each_weight(tmp_path: Path) -> None:
    mask = WeightMask()
    keep = ModelCheckpoint(tmp_path, "last", every_n_train_steps=1)
    fit(make("sgd"), 1, [mask, keep], tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["WeightMask"]
    assert {name: found["bits"].numel() for name, found in saved["masks"].items()} == {
        "layer.weight": 2,
        "layer.bias": 1,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 0.3}, r"`keep` of WeightMask must be as in the run that is resumed.*\(0\.5\)\. Found 0\.3"),
        ({"score": "salun_difference"}, r"`score` of WeightMask"),
        ({"hard": False}, r"`hard` of WeightMask"),
    ],
)
def test_a_mask_of_other_arguments_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "last", every_n_train_steps=1)
    fit(make("sgd"), 1, [WeightMask(), keep], tmp_path)
    with pytest.raises(MismatchError, match=message):
        fit(make("sgd"), 2, [WeightMask(**changes)], tmp_path, ckpt_path=tmp_path / "last.ckpt")


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, r"`keep` must lie in \(0, 1\]"),
        ({"keep": 1.5}, r"`keep` must lie in \(0, 1\]"),
        ({"score": "fisher_ratio", "gamma": 0.0}, r"`gamma` must be above 0"),
        ({"score": "fisher_ratio", "gamma": -1.0}, r"`gamma` must be above 0"),
        ({"score": "fisher_ratio", "keep": 0.5}, r"`keep` must be left unset.*Use gamma"),
        ({"gamma": 1.0}, r"`gamma` must be left unset.*Use keep"),
        ({"batches": 0}, r"`batches` must be at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WeightMask(**arguments)


def test_unknown_scores_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'salun'"):
        WeightMask(score="saluns")


def test_another_kind_of_module_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="only with an UnlearningModule.*Found Plain"):
        fit_plain(WeightMask())


def test_data_without_whole_sides_are_refused(tmp_path: Path) -> None:
    class Odd(PairedDatasets):
        batches = None

    data = Odd(rows("forget"), rows("retain"), batch_size=SIZE)
    with pytest.raises(ConfigurationError, match=r"`datamodule` must go through a whole side.*Found Odd"):
        fit(make("sgd"), 1, [WeightMask()], tmp_path, data=data)


def test_a_soft_mask_is_refused_where_sides_are_not_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"`hard=False` masks the forget gradient.*FixedWeights"):
        fit(make("sgd-joint"), 1, [WeightMask(hard=False)], tmp_path)


@pytest.mark.parametrize("name", ["dualoptim", "dualoptim-plus"])
def test_states_in_8_bits_are_refused_before_anything_is_scored(name: str, tmp_path: Path) -> None:
    narrow = partial(SETTINGS[name]["optimizer"], state_bits=8)
    data = NoMore(rows("forget"), rows("retain"), batch_size=SIZE)
    with pytest.raises(ConfigurationError, match="must not keep states in 8 bits"):
        fit(make(name, optimizer=narrow), 1, [WeightMask()], tmp_path, data=data)
    fit(make(name, optimizer=narrow), 1, [WeightMask(hard=False)], tmp_path)


def test_two_masks_are_refused(tmp_path: Path) -> None:
    class Other(WeightMask):
        """Lightning takes two callbacks of one class with one state for a mistake, too."""

    module = make("sgd")
    with pytest.raises(ConfigurationError, match="may hold one WeightMask only"):
        fit(module, 1, [WeightMask(), Other()], tmp_path)
    assert module.host.mask is None


def test_a_ratio_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"`gamma` must leave some weight to move.*1e\+30. Lower gamma"
    ):
        fit(make("sgd"), 1, [WeightMask("fisher_ratio", gamma=1e30)], tmp_path)


def test_a_broken_model_is_refused(tmp_path: Path) -> None:
    module = make("sgd")
    with torch.no_grad():
        module.model.layer.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="`scores` must be finite"):
        fit(module, 1, [WeightMask()], tmp_path)


def test_an_error_leaves_no_mask_behind(tmp_path: Path) -> None:
    class Break(Callback):
        def on_train_batch_end(self, *_):
            raise ZeroDivisionError

    module = make("sgd")
    with pytest.raises(ZeroDivisionError):
        fit(module, 2, [WeightMask(), Break()], tmp_path)
    assert module.host.mask is None
