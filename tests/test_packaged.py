"""Packaged YAML by name: what exists wins, what is packaged is found, the rest lists the names."""

from pathlib import Path

import pytest
import yaml

from unlearnkit.errors import DataNotFoundError, UnknownNameError
from unlearnkit.packaged import (
    CONFIGS,
    config_names,
    diffusion_shape_names,
    find_config,
    method_names,
    resolve_configs,
    run_name,
    shape_names,
    summary_of,
)


def test_packaged_files_are_found_with_and_without_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = str(CONFIGS / "tofu" / "ngdiff.yaml")
    assert find_config("tofu/ngdiff.yaml") == packaged
    assert find_config("tofu/ngdiff") == packaged


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tofu").mkdir()
    (tmp_path / "tofu" / "ngdiff.yaml").write_text("model: {}\n")
    assert find_config("tofu/ngdiff.yaml") == "tofu/ngdiff.yaml"


def test_yaml_on_the_command_line_is_left_alone():
    assert find_config("{seed_everything: 1}") == "{seed_everything: 1}"


def test_unknown_name_lists_the_names_and_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        find_config("tofu/ngdif.yaml")
    assert "tofu/npo.yaml" in str(caught.value)
    assert str(caught.value).endswith("Found 'tofu/ngdif.yaml'. Did you mean 'tofu/ngdiff.yaml'?")


@pytest.mark.parametrize("path", ["./nope.yaml", "/no/such/file.yaml", "../nope.yaml"])
def test_a_path_that_leads_nowhere_is_told_as_a_path(path):
    with pytest.raises(DataNotFoundError, match="`--config` must be a file that exists"):
        find_config(path)


@pytest.mark.parametrize("option", ["--config", "-c"])
def test_both_forms_of_writing_are_resolved(option):
    packaged = str(CONFIGS / "tofu" / "npo.yaml")
    assert resolve_configs(["fit", option, "tofu/npo", "--x"]) == ["fit", option, packaged, "--x"]
    assert resolve_configs(["fit", f"{option}=tofu/npo"]) == ["fit", f"{option}={packaged}"]


def test_an_option_without_value_is_left_to_the_parser():
    assert resolve_configs(["fit", "--config"]) == ["fit", "--config"]


def test_run_name_is_that_of_the_last_configuration():
    assert run_name(["fit", "-c", "tofu/ngdiff.yaml"]) == "tofu/ngdiff"
    assert run_name(["fit", "--config=a.yaml", "--config", "../b.yaml"]) == "b"
    assert run_name(["fit", "--config={model: X}"]) == "unlearnkit"
    assert run_name(["fit", "--config"]) == "unlearnkit"


def test_a_trainer_setting_does_not_name_the_run():
    stacked = ["fit", "-c", "tofu/ngdiff.yaml", "-c", "trainer/eight_gpus.yaml", "-c=trainer/one_gpu"]
    assert run_name(stacked) == "tofu/ngdiff"
    assert run_name(["fit", "-c", "trainer/my_own.yaml"]) == "trainer/my_own"
    assert run_name(["fit", "-c", "trainer/one_gpu.yaml"]) == "trainer/one_gpu"


def test_shapes_are_data_and_no_configurations():
    assert shape_names()
    assert not [name for name in config_names() if name.startswith("shapes/")]
    with pytest.raises(UnknownNameError):
        find_config(f"shapes/{shape_names()[0]}.yaml")


def test_trainer_settings_hold_nothing_else():
    found = [name for name in config_names() if name.startswith("trainer/")]
    assert found == ["trainer/eight_gpus.yaml", "trainer/one_gpu.yaml", "trainer/two_nodes.yaml"]
    assert all(set(yaml.safe_load((CONFIGS / name).read_text())) == {"trainer"} for name in found)


def test_every_packaged_file_says_what_it_is():
    shapes = [*shape_names(), *(f"diffusion/{name}" for name in diffusion_shape_names())]
    for name in (*config_names(), *(f"shapes/{shape}.yaml" for shape in shapes)):
        assert ": " in summary_of(name), f"{name} must start with a comment `# Label: what it does.`"


def test_methods_are_the_files_with_an_unlearning_module():
    methods = method_names()
    assert {"tofu/ngdiff", "tofu/ngdiff_gen", "tofu/npo"} <= set(methods)
    assert not {"tofu/finetune", "tofu/quickstart"} & set(methods)
    assert all((CONFIGS / f"{name}.yaml").exists() for name in methods)
    assert Path(CONFIGS).name == "configs"


@pytest.mark.parametrize(
    ("pair", "forget", "retain"),
    [
        ("ga_gd", "AscentNLL", "NLL"),
        ("me_gd", "MaxEntropy", "NLL"),
        ("dpo_gd", "DPO", "NLL"),
        ("idk_gd", "IDK", "NLL"),
        ("idk_ap", "IDK", "AnswerPreservation"),
    ],
)
def test_paper_002s_pairs_come_in_its_six_ways_of_stepping(pair, forget, retain):
    ways = {
        "": ("FixedWeights", "torch.optim.AdamW", 32),
        "_alternate": ("Alternate", "torch.optim.AdamW", 32),
        "_dual_optim": ("Alternate", "DualOptim", 32),
        "_dual_optim_8bit": ("Alternate", "DualOptim", 8),
        "_dual_optim_plus": ("Alternate", "DualOptimPlus", 32),
        "_dual_optim_plus_8bit": ("Alternate", "DualOptimPlus", 8),
    }
    weights = []
    for end, way in ways.items():
        whole = yaml.safe_load((CONFIGS / "tofu" / f"{pair}{end}.yaml").read_text())
        # Where there are refusals, closer-look's and DualOptim's code keeps each with its row.
        per = whole["data"]["init_args"].get("alternatives_per")
        assert per == ("row" if forget in ("DPO", "IDK") else None)
        # The paper's numbers are closer-look's.
        evaluator = whole["trainer"]["callbacks"][0]["init_args"]["evaluator"]
        assert evaluator == {"class_path": "TOFUEvaluator", "init_args": {"closer_look": True}}
        chosen = whole["model"]["init_args"]
        optimizer = chosen["optimizer"]
        bits = optimizer["init_args"].get("state_bits", 32)
        assert (chosen["strategy"]["class_path"], optimizer["class_path"], bits) == way
        assert (chosen["forget"]["class_path"], chosen["retain"]["class_path"]) == (forget, retain)
        settings = chosen["strategy"]["init_args"]
        # FixedWeights weighs both losses, Alternate one beside a retain loss of 1.
        c = settings.get("c", 0.5)
        weights.append(settings.get("forget_weight", 1.0) * (1 - c) / c)
        parts = [optimizer["init_args"].get(side, {}).get("init_args") for side in ("forget", "retain")]
        assert {part["weight_decay"] for part in (parts if parts[0] else [optimizer["init_args"]])} == {0.01}
    assert weights == pytest.approx([0.1 if pair in ("me_gd", "dpo_gd") else 1.0] * 6, rel=2e-3)


def test_every_objective_of_language_models_has_a_row_on_tofu():
    rows = [
        yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]["init_args"]
        for name in method_names()
        if name.startswith("tofu/")
    ]
    forget, retain = ({row[side]["class_path"] for row in rows} for side in ("forget", "retain"))
    assert forget >= {
        "AscentNLL", "NPO", "SimNPO", "DPO", "IDK", "MaxEntropy", "Mismatch", "LLMU", "RMU", "UNDIAL", "WGA", "SatImp",
        "CEU", "LogitMargin",
    }  # fmt: skip
    assert retain >= {
        "NLL", "KLToReference", "FDivergence", "NLLAndDistance", "AnswerPreservation", "HiddenToReference",
    }  # fmt: skip
    assert "PrimalDual" in {row["strategy"]["class_path"] for row in rows}
