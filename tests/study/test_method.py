"""Methods are YAML rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError
from unlearnkit.packaged import CONFIGS
from unlearnkit.strategies import FixedWeights
from unlearnkit.study.method import load_method, method_names
from unlearnkit.testing import ToyClassifier


@pytest.mark.parametrize("name", method_names())
def test_every_packaged_method_builds_as_its_name_says(name: str) -> None:
    method = load_method(name)
    module, _ = method.build(ToyClassifier(), seed=3)
    assert module.seed == 3
    assert method.rounds == 60
    optimizer = module.optimizer(module.host.parameters)
    assert optimizer.param_groups[0]["lr"] == 3e-4
    decays = {key: value for key, value in optimizer.param_groups[0].items() if key.endswith("weight_decay")}
    # Paper 002's pairs decay weights as its code does.
    wanted = 0.01 if name.startswith(("ga_gd", "me_gd", "dpo_gd", "idk_")) else 0.0
    assert {value for key, value in decays.items() if "decoupled" not in key} == {wanted}


@pytest.mark.parametrize(
    ("name", "label", "strategy", "forget", "retain"),
    [
        ("gd", "GD", "RetainOnly", "AscentNLL", "NLL"),
        ("ga", "GA", "ForgetOnly", "AscentNLL", "NLL"),
        ("gdiff", "GDiff 0.5", "FixedWeights", "AscentNLL", "NLL"),
        ("lossnorm", "LossNorm", "LossNorm", "AscentNLL", "NLL"),
        ("npo", "NPO", "ForgetOnly", "NPO", "NLL"),
        ("npo_gd", "NPO+GD", "FixedWeights", "NPO", "NLL"),
        ("ga_kl", "GA+KL", "FixedWeights", "AscentNLL", "KLToReference"),
        ("ngdiff", "NGDiff", "NGDiff", "AscentNLL", "NLL"),
        ("ngdiff_gen", "NGDiff + GeN", "NGDiff", "AscentNLL", "NLL"),
        ("imtl_g", "IMTL-G", "IMTLG", "AscentNLL", "NLL"),
        ("nash_mtl", "Nash-MTL", "NashMTL", "AscentNLL", "NLL"),
        ("conflict_free", "ConFIG", "ConFIG", "AscentNLL", "NLL"),
        ("pcgrad", "PCGrad", "PCGrad", "AscentNLL", "NLL"),
        ("pcgrad_one_sided", "PCGrad one-sided", "PCGrad", "AscentNLL", "NLL"),
        ("upgrad", "UPGrad", "UPGrad", "AscentNLL", "NLL"),
        ("dual_proj", "DualProj", "DualProj", "AscentNLL", "NLL"),
        ("mgda", "MGDA", "MGDA", "AscentNLL", "NLL"),
        ("cagrad", "CAGrad", "CAGrad", "AscentNLL", "NLL"),
        ("aligned_mtl", "Aligned-MTL", "AlignedMTL", "AscentNLL", "NLL"),
        ("grad_vaccine", "GradVaccine", "GradVaccine", "AscentNLL", "NLL"),
        ("grad_norm", "GradNorm", "GradNorm", "AscentNLL", "NLL"),
        ("grad_drop", "GradDrop", "GradDrop", "AscentNLL", "NLL"),
        ("rlw", "RLW", "RLW", "AscentNLL", "NLL"),
        ("dwa", "DWA", "DWA", "AscentNLL", "NLL"),
    ],
)
def test_rows(name: str, label: str, strategy: str, forget: str, retain: str) -> None:
    method = load_method(name)
    module, callbacks = method.build(ToyClassifier())
    assert method.label == label
    assert type(module.strategy).__name__ == strategy
    assert type(module.objective("forget")).__name__ == forget
    assert type(module.objective("retain")).__name__ == retain
    assert [type(callback).__name__ for callback in callbacks] == [
        *(["GeN"] if name == "ngdiff_gen" else []),
        "EvaluateEvery",
    ]


@pytest.mark.parametrize(("name", "c"), [("gdiff_01", 0.1), ("gdiff", 0.5), ("gdiff_09", 0.9)])
def test_gdiff_weights(name: str, c: float) -> None:
    strategy = load_method(name).build(ToyClassifier())[0].strategy
    assert isinstance(strategy, FixedWeights)
    assert strategy.c == c


def test_a_rate_after_at_replaces_the_files() -> None:
    module, _ = load_method("tofu/ngdiff@2e-2").build(ToyClassifier())
    assert module.optimizer(module.host.parameters).param_groups[0]["lr"] == 2e-2


def test_a_yaml_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text((CONFIGS / "tofu" / "gdiff.yaml").read_text().replace("c: 0.5", "c: 0.7"))
    strategy = load_method(str(own)).build(ToyClassifier())[0].strategy
    assert isinstance(strategy, FixedWeights)
    assert strategy.c == 0.7


def test_a_rate_is_the_forget_sides_where_there_are_two() -> None:
    def optimizer_of(name: str) -> Any:
        return load_method(name).model["init_args"]["optimizer"]["init_args"]

    found = optimizer_of("tofu/dual_optim@2e-2")
    assert found["forget"]["init_args"]["lr"] == 2e-2
    assert found["retain"] == optimizer_of("tofu/dual_optim")["retain"]
    module, _ = load_method("tofu/dual_optim@2e-2").build(ToyClassifier())
    assert module.configure_optimizers() is not None
    assert optimizer_of("tofu/dual_optim_plus@2e-2")["lr"] == 2e-2, (
        "one rate for both sides until two are given"
    )


def test_epochs_of_a_given_length_are_rounds_and_stay_as_many() -> None:
    """U2A returns to the target at each epoch, so a comparison's rounds are an epoch's."""
    method = load_method("preferences/u2a_npo")
    assert (method.rounds, method.epoch_length) == (110, 10)
    longer = method.with_rounds(30)
    assert (longer.rounds, longer.epoch_length) == (330, 30)
    assert longer.model["init_args"]["scheduler"]["init_args"] == {"T_0": 30}
    assert method.with_rounds(10) is method and method.with_rounds(None) is method
    assert load_method("preferences/npo").epoch_length is None


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("lam: 1.0", "lam: 0.0", "`lam` must be above 0.*Found 0.0"),
        (
            "class_path: AscentNLL",
            "class_path: NLL",
            "`objective` must be one that is minimised to forget.*NLL",
        ),
        ("initial: 32", "initial: 0", "`initial` must be 1 or above. Found 0"),
    ],
)
def test_what_a_constructor_says_is_not_lost_behind_the_parser(
    tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    own = tmp_path / "own.yaml"
    text = (CONFIGS / "preferences" / "u2a_ga.yaml").read_text()
    assert right in text
    own.write_text(text.replace(right, wrong))
    with pytest.raises(ConfigurationError, match=message):
        load_method(str(own)).build(nn.Identity())


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"ga, ga_distance, ga_gd, ga_gd_alternate, .* Did you mean 'npo'"
    ):
        load_method("npoo")
    with pytest.raises(
        UnknownNameError,
        match="`benchmark` must be one of: cifar10, cifar100, ddpm, ddpm_cifar10, digits, dit, dit_imagenet, muse, "
        "people, preferences, tiny_imagenet, tofu",
    ):
        load_method("tofuu/npo")
    with pytest.raises(DataNotFoundError, match="Packaged methods: .*ga, "):
        load_method(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigurationError, match="learning rate after its @"):
        load_method("npo@fast")
    empty = tmp_path / "empty.yaml"
    empty.write_text("trainer: {}")
    with pytest.raises(ConfigurationError, match="`model` section"):
        load_method(str(empty))


def test_an_unknown_class_or_argument_names_the_method(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text((CONFIGS / "tofu" / "gdiff.yaml").read_text().replace("c: 0.5", "d: 0.5"))
    with pytest.raises(ConfigurationError, match="Found 'mine'"):
        load_method(str(own)).build(ToyClassifier())


def test_what_spans_the_whole_run_ends_with_a_shorter_one() -> None:
    method = load_method("cifar10/sfron")
    short = method.with_rounds(30)
    assert (method.rounds, short.rounds) == (300, 30)
    assert short.model["init_args"]["strategy"]["init_args"]["forget_fade"] == 30
    assert method.model["init_args"]["strategy"]["init_args"]["forget_fade"] == 300
    module, _ = short.build(nn.Linear(2, 2))
    scheduler = module.scheduler(torch.optim.SGD(module.parameters(), lr=1.0))  # type: ignore[misc]
    assert scheduler.T_max == 30  # type: ignore[union-attr]
    assert method.with_rounds(None) is method


def test_a_schedule_of_its_own_length_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "# Own: fades in ten rounds.\n"
        "model: {class_path: UnlearningModule, init_args: "
        "{strategy: {class_path: Alternate, init_args: {forget_fade: 10}}}}\ntrainer: {max_steps: 40}\n"
    )
    assert (
        load_method(str(own)).with_rounds(20).model["init_args"]["strategy"]["init_args"]["forget_fade"] == 10
    )


def test_the_seed_reaches_what_objectives_and_strategy_draw(tmp_path: Path) -> None:
    module, _ = load_method("digits/rl").build(nn.Linear(2, 2), seed=5)
    assert module.objectives["forget"].seed == 5  # type: ignore[union-attr]
    own = tmp_path / "own.yaml"
    own.write_text(
        "# Own: draws of seed 3.\nmodel: {class_path: UnlearningModule, init_args: "
        "{forget: {class_path: RandomLabels, init_args: {seed: 3}}, strategy: {class_path: FixedWeights}}}\n"
    )
    module, _ = load_method(str(own)).build(nn.Linear(2, 2), seed=5)
    assert module.objectives["forget"].seed == 3  # type: ignore[union-attr]
