"""fit, validate, test, predict through the real parser and trainer, in-process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
import yaml
from lightning.pytorch.cli import LightningCLI

from tests.representatives import METHODS, REPRESENTATIVES
from unlearnkit.artifacts import Split
from unlearnkit.cli import main
from unlearnkit.cli_lightning import UnlearnKitCLI, run
from unlearnkit.datamodules import TOFU
from unlearnkit.modules import UnlearningModule
from unlearnkit.packaged import CONFIGS
from unlearnkit.strategies import FixedWeights

TINY = [
    "--data.authors=10",
    "--data.questions=4",
    "--data.vocab_size=400",
    "--model.model.hidden_size=32",
    "--model.model.layers=1",
    "--model.model.heads=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Run where runs/ may be written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys, *arguments):
    """Return the YAML that --print_config prints."""
    capsys.readouterr()
    assert main([*arguments, "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


class Parsed(UnlearnKitCLI):
    """Parse and instantiate, run nothing."""

    def _run_subcommand(self, subcommand):
        pass


@pytest.mark.parametrize("name", [*REPRESENTATIVES, "tofu/finetune.yaml"])
def test_packaged_files_of_each_kind_print_back(here, capsys, name):
    config = printed(capsys, "fit", "--config", name)
    (here / "printed.yaml").write_text(yaml.safe_dump(config))
    again = printed(capsys, "fit", "--config", "printed.yaml")
    assert again == config
    Parsed(["fit", "--config", "printed.yaml", "--trainer.accelerator=cpu"], "x")


@pytest.mark.parametrize("name", [*METHODS, "tofu/finetune.yaml"])
def test_every_packaged_file_parses_and_instantiates(here, name):
    cli = Parsed(["fit", "--config", str(CONFIGS / name), "--trainer.accelerator=cpu"], "x")
    wanted = yaml.safe_load((CONFIGS / name).read_text())
    assert type(cli.model).__name__ == wanted["model"]["class_path"]
    assert type(cli.datamodule).__name__ == wanted["data"]["class_path"]
    for part in ("strategy", "forget", "retain"):
        if part in wanted["model"]["init_args"]:
            built = cli.model.strategy if part == "strategy" else cli.model.objective(part)
            assert type(built).__name__ == wanted["model"]["init_args"][part]["class_path"]
    listed = [callback["class_path"] for callback in wanted["trainer"].get("callbacks", [])]
    assert set(listed) <= {type(callback).__name__ for callback in cli.trainer.callbacks}


def test_options_after_the_configuration_change_what_it_names(here, capsys):
    options = [
        "--data.path=../data/TOFU",
        "--model.strategy=FixedWeights",
        "--model.strategy.c=0.9",
        "--trainer.devices=8",
    ]
    config = printed(capsys, "fit", "--config=tofu/ngdiff.yaml", *options)
    assert config["data"]["init_args"]["path"] == "../data/TOFU"
    assert config["model"]["init_args"]["strategy"] == {
        "class_path": "unlearnkit.FixedWeights",
        "init_args": {"c": 0.9},
    }
    assert int(config["trainer"]["devices"]) == 8


@pytest.mark.parametrize(
    ("setting", "nodes", "devices", "strategy"),
    [("one_gpu", 1, 1, "auto"), ("eight_gpus", 1, 8, "fsdp2"), ("two_nodes", 2, 8, "fsdp2")],
)
def test_a_trainer_setting_changes_where_a_run_happens_and_nothing_else(
    here, capsys, setting, nodes, devices, strategy
):
    alone = printed(capsys, "fit", "--config", "tofu/ngdiff.yaml")
    config = printed(capsys, "fit", "--config", "tofu/ngdiff.yaml", "--config", f"trainer/{setting}.yaml")
    trainer = config["trainer"]
    assert (int(trainer["num_nodes"]), int(trainer["devices"])) == (nodes, devices)
    assert (trainer["strategy"], trainer["precision"]) == (strategy, "bf16-mixed")
    assert trainer["accelerator"] == "cuda"
    for changed in ("num_nodes", "devices", "strategy", "precision", "accelerator"):
        trainer[changed] = alone["trainer"][changed]
    assert config == alone


@pytest.mark.parametrize("setting", ["eight_gpus", "two_nodes"])
def test_a_trainer_setting_for_many_gpus_builds_on_processors(here, setting):
    """The strategy, the number of processes and the precision are those asked for, on another accelerator."""
    names = [str(CONFIGS / "tofu" / "ngdiff.yaml"), str(CONFIGS / "trainer" / f"{setting}.yaml")]
    stacked = [f"--config={name}" for name in names]
    trainer = Parsed(["fit", *stacked, *TINY], "x").trainer
    assert type(trainer.strategy).__name__ == "FSDP2"
    assert (trainer.num_devices, trainer.precision) == (8, "bf16-mixed")
    assert trainer.num_nodes == {"eight_gpus": 1, "two_nodes": 2}[setting]


def test_an_adapter_and_a_shape_are_options(here, capsys):
    """A fit of a narrowed Llama with LoRA leaves a folder that exports to plain transformers."""
    options = [
        "--model.model.shape=llama-3.2-1b",
        "--model.model.width=32",
        "--model.model.lora.rank=2",
        "--model.model.lora.target_modules=[q_proj,v_proj]",
    ]
    config = printed(capsys, "fit", "--config=tofu/npo_gd.yaml", *options)
    assert config["model"]["init_args"]["model"]["init_args"]["lora"] == {
        "rank": 2,
        "alpha": 16.0,
        "dropout": 0.0,
        "target_modules": ["q_proj", "v_proj"],
    }
    assert main(["fit", "--config=tofu/npo_gd.yaml", *TINY, *options, "--trainer.max_steps=1"]) == 0
    folder = here / "runs" / "tofu" / "npo_gd" / "version_0"
    again = printed(capsys, "fit", "--config", str(folder / "config.yaml"))
    assert again["model"]["init_args"]["model"]["init_args"]["lora"]["target_modules"] == ["q_proj", "v_proj"]
    assert main(["export", str(folder), "exported"]) == 0
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(here / "exported")
    assert (network.config.model_type, network.config.hidden_size) == ("llama", 32)
    assert not [name for name in network.state_dict() if "lora" in name]


def test_a_bad_adapter_is_told_as_one(here, capsys):
    assert main(["fit", "--config=tofu/gd.yaml", *TINY, "--model.model.lora.rank=0"]) == 2
    assert "`rank` must be 1 or above. Found 0." in capsys.readouterr().err


def test_defaults_are_those_of_the_package(here, capsys):
    config = printed(capsys, "fit", "--config=tofu/ngdiff.yaml")
    assert config["seed_everything"] == 0
    assert config["trainer"]["num_sanity_val_steps"] == 0
    assert config["trainer"]["accelerator"] == "auto"
    logger = config["trainer"]["logger"]
    assert logger["class_path"].endswith("CSVLogger")
    assert logger["init_args"]["save_dir"] == "runs"
    assert logger["init_args"]["name"] == "tofu/ngdiff"
    assert "optimizer" not in config


def test_a_run_and_what_it_leaves(here, capsys):
    """One fit, then its folder repeats it, evaluates it and exports it."""
    assert main(["fit", "--config", "tofu/ngdiff.yaml", *TINY, "--trainer.max_steps=3"]) == 0
    folder = here / "runs" / "tofu" / "ngdiff" / "version_0"
    split = Split.load(folder / "split.json")
    results = json.loads((folder / "results.json").read_text())
    assert results["rounds"] == 3
    assert results["split_hash"] == split.hash
    assert (folder / "tokenizer" / "tokenizer.json").exists()
    checkpoint = here / results["checkpoint"]
    assert checkpoint.exists()

    saved = ["--config", str(folder / "config.yaml")]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert printed(capsys, "fit", *saved) == config
    assert not list(folder.glob(".*.tmp")), "a file was left half-written"

    assert main(["predict", *saved, f"--ckpt_path={checkpoint}", "--trainer.limit_predict_batches=1"]) == 0
    predictions = json.loads((folder.parent / "version_1" / "predictions.json").read_text())["predictions"]
    assert {row["set"] for loader in predictions for batch in loader for row in batch} == {"forget", "retain"}
    assert main(["test", *saved, f"--ckpt_path={checkpoint}"]) == 0
    assert main(["validate", *saved, f"--ckpt_path={checkpoint}"]) == 0

    assert main(["export", str(folder), "exported"]) == 0
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(here / "exported")
    assert network.config.hidden_size == 32
    assert (here / "exported" / "model.safetensors").exists()

    again = [
        "fit",
        *saved,
        "--model.model.name=exported",
        "--data.tokenizer=exported",
        "--trainer.max_steps=1",
    ]
    assert main(again) == 0


def test_the_same_run_gives_the_same_bits(here):
    import torch

    for _ in range(2):
        assert main(["fit", "--config=tofu/gdiff.yaml", *TINY, "--trainer.max_steps=2"]) == 0
    first, second = sorted((here / "runs").rglob("*.ckpt"))
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_another_split_than_the_checkpoints_is_refused(here, capsys):
    assert main(["fit", "--config=tofu/gd.yaml", *TINY, "--trainer.max_steps=1"]) == 0
    checkpoint = next((here / "runs").rglob("*.ckpt"))
    capsys.readouterr()
    other = ["fit", "--config=tofu/gd.yaml", *TINY, "--data.forget=forget05", f"--ckpt_path={checkpoint}"]
    assert main([*other, "--data.authors=20", "--trainer.max_steps=2"]) == 2
    assert "split" in capsys.readouterr().err


def test_configuration_is_written_whole_or_not_at_all(here, monkeypatch):
    import unlearnkit.cli_lightning as module

    def crash(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "atomic_write_text", crash)
    with pytest.raises(OSError, match="no space"):
        main(["fit", "--config=tofu/gd.yaml", *TINY, "--trainer.max_steps=1"])
    assert not list(here.rglob("config.yaml"))


def test_a_run_without_validation_keeps_a_checkpoint(here):
    assert (
        main(
            ["fit", "--config=tofu/gd.yaml", *TINY, "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
        )
        == 0
    )
    assert list(here.rglob("*step=2.ckpt"))


def test_a_checkpoint_callback_of_ones_own_is_the_only_one(here):
    own = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.filename=mine"]
    cli = Parsed(["fit", "--config", str(CONFIGS / "tofu" / "gd.yaml"), *TINY, *own], "x")
    assert [callback.filename for callback in cli.trainer.checkpoint_callbacks] == ["mine"]
    cli = Parsed(
        ["fit", "--config", str(CONFIGS / "tofu" / "gd.yaml"), *TINY, "--trainer.fast_dev_run=true"], "x"
    )
    assert not [c for c in cli.trainer.checkpoint_callbacks if c.save_last is not None]


def test_without_a_logger_nothing_is_written(here):
    options = ["--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.max_steps=1"]
    assert main(["fit", "--config=tofu/gd.yaml", *TINY, *options]) == 0
    assert not list(here.rglob("*.*"))


def test_a_run_leaves_the_process_group_that_it_joined(here, monkeypatch):
    """At the interpreter's end a thread of gloo that still runs aborts the process."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "0")  # what the run sets is taken back
        monkeypatch.delenv(name)
    joined = []
    monkeypatch.setattr(
        UnlearningModule, "on_train_start", lambda module: joined.append(dist.is_initialized())
    )
    options = [*TINY, "--trainer.max_steps=1", "--trainer.devices=1", "--trainer.strategy=ddp"]
    assert main(["fit", "--config", "tofu/ngdiff.yaml", *options]) == 0
    assert joined == [True]
    assert not dist.is_initialized()


def test_run_takes_paths_and_a_name(here):
    run(["fit", "--config", str(CONFIGS / "tofu" / "gd.yaml"), *TINY, "--trainer.max_steps=1"], "mine")
    assert (here / "runs" / "mine" / "version_0" / "config.yaml").exists()


def test_as_a_process_of_its_own(here):
    command = [
        sys.executable,
        "-m",
        "unlearnkit",
        "fit",
        "--config",
        "tofu/ngdiff.yaml",
        *TINY,
        "--trainer.max_steps=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Tip:" not in done.stderr
    assert (here / "runs" / "tofu" / "ngdiff" / "version_0" / "results.json").exists()


def test_a_default_configuration_file_may_name_another_strategy(tmp_path):
    """A default that is an instance would refuse the arguments of the class that the file names."""

    class Parsed(Exception):
        """What was made of the file."""

    class Parser(LightningCLI):
        def instantiate_classes(self):
            raise Parsed(self.parser.instantiate_classes(self.config))

    defaults = tmp_path / "mine.yaml"
    defaults.write_text(
        "model:\n  model: {class_path: unlearnkit.models.CausalLM}\n"
        "  strategy:\n    class_path: unlearnkit.strategies.FixedWeights\n    init_args: {c: 0.3}\n"
    )
    with pytest.raises(Parsed) as found:
        Parser(
            UnlearningModule,
            TOFU,
            auto_configure_optimizers=False,
            parser_kwargs={"fit": {"default_config_files": [str(defaults)]}},
            args=["fit"],
        )
    strategy = found.value.args[0].fit.model.strategy
    assert isinstance(strategy, FixedWeights)
    assert strategy.c == 0.3


CALLBACKS = """
trainer:
  max_steps: 4
  callbacks:
    - class_path: ModelCheckpoint
      init_args: {monitor: eval/score, mode: max, every_n_train_steps: 2, filename: "{step}"}
    - class_path: ForgetTarget
      init_args: {monitor: eval/forget_probability, target: 2.0, action: hold, every: 2}
    - class_path: ForgetTarget
      init_args: {target: 50, every: 2}
    - class_path: CollapseGuard
      init_args: {every: 2, norm_factor: null}
    - class_path: EvaluateEvery
      init_args:
        evaluator: {class_path: TOFUEvaluator, init_args: {rows: 2, max_new_tokens: 2, truth_ratio: false}}
        every: 2
        score: {retain_loss: -1.0, forget_rouge: -1.0}
"""


def test_callbacks_are_named_in_a_yaml_by_their_short_names(here, capsys, recwarn):
    (here / "own.yaml").write_text(CALLBACKS)
    assert main(["fit", "--config", "tofu/ngdiff.yaml", "--config", "own.yaml", *TINY]) == 0
    results = json.loads((here / "runs/own/version_0/results.json").read_text())
    metrics = results["metrics"]
    assert metrics["eval/score"] == pytest.approx(-metrics["eval/retain_loss"] - metrics["eval/forget_rouge"])
    assert metrics["forget_target/value"] == pytest.approx(metrics["eval/forget_loss"], rel=0.5)
    assert metrics["guard/rollbacks"] == 0
    scores = {point["round"]: point["score"] for point in results["path"] if point["round"]}
    assert Path(results["checkpoint"]).name == f"step={max(scores, key=scores.get)}.ckpt"
    assert not [found for found in recwarn if "AFTER optimization" in str(found.message)]
