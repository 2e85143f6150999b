"""A comparison's options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.packaged import method_names as method_names_of_all
from unlearnkit.packaged import resolve_configs
from unlearnkit.study.method import Method, load_method
from unlearnkit.study.settings import Finetune, Setting, comparison_parser


def setting(*extra: str) -> Setting:
    parser = comparison_parser()
    return Setting(parser, parser.parse_args(resolve_configs(["--config", "tofu/quickstart.yaml", *extra])))


def test_the_packaged_quickstart_names_the_eight_methods() -> None:
    names = ["gd", "ga", "gdiff_01", "gdiff", "gdiff_09", "npo", "lossnorm", "ngdiff_gen"]
    assert setting().config.methods == names


def test_data_options_reach_the_data_module() -> None:
    built = setting("--data.path=somewhere", "--data.forget=forget05", "--data.forget_authors=3").build(
        7, "retain"
    )
    assert (built.data.path, built.data.forget, built.data.forget_authors) == ("somewhere", "forget05", 3)
    assert (built.data.seed, built.data.train_on, built.model.seed) == (7, "retain", 7)


def test_the_key_depends_on_data_and_model_and_not_on_methods_or_seeds() -> None:
    key = setting().key
    assert setting("--methods=[ngdiff]", "--seeds=[1,2]").key == key
    assert setting("--data.authors=41").key != key
    assert setting("--model.layers=3").key != key
    assert setting("--finetune.epochs=3").key != key


def test_one_set_of_options_builds_fresh_objects() -> None:
    one = setting()
    assert one.build(0, "full").model is not one.build(0, "full").model


def test_a_target_of_a_named_architecture_is_loaded_from_its_folder(tmp_path: Path) -> None:
    shaped = ["--model.shape=phi-1.5", "--model.width=32", "--model.layers=1", "--data.vocab_size=300"]
    chosen = setting(*shaped)
    built = chosen.build(0, "full")
    built.data.setup()
    built.model.materialize(built.data.tokenizer)
    built.model.save(tmp_path, built.data.tokenizer)
    loaded = chosen.target(tmp_path)
    torch.testing.assert_close(loaded.state_dict(), built.model.state_dict())


def test_the_optimizer_of_the_target_is_a_choice() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    found = setting("--finetune.optimizer=sgd", "--finetune.weight_decay=5e-4").finetune.build([weight])
    assert isinstance(found, torch.optim.SGD)
    assert (found.defaults["momentum"], found.defaults["weight_decay"]) == (0.9, 5e-4)
    assert isinstance(setting().finetune.build([weight]), torch.optim.AdamW)
    with pytest.raises(UnknownNameError, match="finetune.optimizer"):
        Finetune(optimizer="lion")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="`finetune.weight_decay` must be 0 or above. Found -1"):
        Finetune(weight_decay=-1)


def test_methods_bring_their_own_batches_only_where_asked_to() -> None:
    method = load_method("cifar10/salun")
    assert method.batch_sizes == {"forget_batch_size": 26, "retain_batch_size": 230}
    assert setting().batch_sizes(method) == {}
    own = setting("--method_batches=true").batch_sizes(method)
    data = setting().build(0, "pair", model=False, data_options=own).data
    assert (data.batch_sizes["forget"], data.batch_sizes["retain"]) == (26, 230)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"lr": -1e-3}, {"clip": 0.0}])
def test_finetune_rules(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"finetune.{next(iter(bad))}` must be above 0"):
        Finetune(**bad)  # type: ignore[arg-type]


PREFERENCES = ("--config", "preferences/quickstart.yaml")


def own_method(folder: Path, data: str) -> Method:
    path = folder / "own.yaml"
    path.write_text(f"# Own: mine.\nmodel: {{class_path: UnlearningModule}}\ndata: {data}\n")
    return load_method(str(path))


def test_methods_bring_the_data_options_that_are_left_to_them(tmp_path: Path) -> None:
    parser = comparison_parser()
    here = Setting(parser, parser.parse_args(resolve_configs([*PREFERENCES, "--data.pairs=60"])))
    dpo = load_method("preferences/dpo")
    assert here.own_options(dpo) == here.data_options(dpo) == {"forget_side": "pairs"}
    assert here.own_options(load_method("preferences/ga")) == {}
    data = here.build(3, "pair", model=False, data_options=here.data_options(dpo)).data
    assert (data.forget_side, data.pairs, data.seed) == ("pairs", 60, 3)
    # What the data are is said by the comparison, whatever data the method's file was written for.
    mixed = own_method(tmp_path, "{class_path: Preferences, init_args: {pairs: 90, positive_guidance: 0.2}}")
    assert here.own_options(mixed) == {"positive_guidance": 0.2}
    assert here.own_options(load_method("tofu/npo")) == {}
    assert here.own_options(own_method(tmp_path, "{init_args: {by_reward: true}}")) == {"by_reward": True}


def test_options_that_a_data_module_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)`data` of the method must.*'own'.*'forgot_side' is"):
        setting().own_options(own_method(tmp_path, "{class_path: TOFU, init_args: {forgot_side: pairs}}"))
    with pytest.raises(ConfigurationError, match="`data.forget_side` of the method must be an option.*'dpo'"):
        setting().own_options(load_method("preferences/dpo"))


@pytest.mark.parametrize(
    "name", [name for name in method_names_of_all() if not name.startswith("preferences/")]
)
def test_older_methods_have_no_options_of_their_own(name: str) -> None:
    assert setting("--method_batches=true").own_options(load_method(name)) == {}
