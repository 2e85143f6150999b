"""The command: cheap answers without torch, errors without traceback, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import unlearnkit
from unlearnkit.cli import COMMANDS, main
from unlearnkit.cli_listing import TOPICS
from unlearnkit.errors import UnknownNameError

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "lightning", "transformers", "numpy", "jsonargparse")


def error_of(capsys, *arguments):
    """Return the one line on stderr of a command that must fail."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["-h"],
        ["--version"],
        ["list"],
        *(["list", t] for t in TOPICS),
        ["--print_completion", "bash"],
        ["nope"],
    ],
    ids=" ".join,
)
def test_cheap_answers_import_nothing_heavy(arguments):
    code = (
        "import sys; from unlearnkit.cli import main; code = main(sys.argv[1:]);"
        f"heavy = [name for name in {HEAVY} if name in sys.modules];"
        "assert not heavy, heavy; sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == (2 if arguments == ["nope"] else 0), done.stderr
    assert (done.stderr if arguments == ["nope"] else done.stdout).strip()


def test_help_names_every_command_topic_and_option(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in (*COMMANDS, *TOPICS, "--config", "--print_config", "--print_completion", "UNLEARNKIT_DEBUG"):
        assert word in text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unlearnkit {unlearnkit.__version__}\n"


def test_list(capsys):
    assert main(["list", "strategies"]) == 0
    assert "NGDiff" in capsys.readouterr().out
    assert "topic" in error_of(capsys, "list", "nope")
    assert "one topic" in error_of(capsys, "list", "methods", "data")


def test_unknown_command_lists_the_commands(capsys):
    message = error_of(capsys, "fitt")
    assert message.startswith("`command` must be one of: compare, continual, downstream, export, fit,")
    assert message.endswith("Did you mean 'fit'?")


@pytest.mark.parametrize("command", ["fit", "compare", "continual"])
def test_unknown_configuration_lists_the_names(capsys, command):
    message = error_of(capsys, command, "--config", "tofu/quickstar.yaml")
    assert "tofu/ngdiff.yaml" in message
    assert message.endswith("Did you mean 'tofu/quickstart.yaml'?")


@pytest.mark.parametrize("command", ["fit", "compare", "continual"])
def test_nothing_given_points_to_a_packaged_file(capsys, command):
    assert "Start from a packaged file" in error_of(capsys, command)


@pytest.mark.parametrize(
    ("option", "names", "nearest"),
    [
        ("--model.strategy=NGDif", "FixedWeights", "NGDiff"),
        ("--model.forget=AscentNL", "KLToReference", "AscentNLL"),
        ("--model=UnlearnModule", "FinetuningModule", "UnlearningModule"),
        ("--model.model=CausalML", "WithCriterion", "CausalLM"),
        ("--data=TOFO", "TOFU", "TOFU"),
        ("--trainer.callbacks+=GEN", "EvaluateEvery", None),
        ("--model.optimizer=AdamV", "SGD", "Adam"),
        ("--trainer.max_step=3", "max_epochs", "max_steps"),
        ("--data.author=3", "authors", "authors"),
    ],
)
def test_unknown_name_lists_the_names(capsys, option, names, nearest):
    message = error_of(capsys, "fit", "--config", "tofu/ngdiff.yaml", option)
    assert "must be one of: " in message
    assert names in message
    assert nearest is None or f"Did you mean '{nearest}" in message


def test_unknown_name_inside_a_yaml_lists_the_names(capsys, tmp_path):
    text = (ROOT / "unlearnkit" / "configs" / "tofu" / "ngdiff.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("class_path: NGDiff", "class_path: NGDifff"))
    message = error_of(capsys, "fit", "--config", str(path))
    assert message.startswith("`--model.strategy` must be one of: AlignedMTL, ")
    assert message.endswith("Found 'NGDifff'. Did you mean 'NGDiff'?")


def test_malformed_yaml_tells_the_line(capsys, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("model: [1,\n  a: b")
    assert "line" in error_of(capsys, "fit", "--config", str(path))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--model.optimizer.lr=-1", "Invalid learning rate"),
        ("--model.clip=0", "`clip` must be above 0"),
        ("--model.clip=abc", "`--model.clip` must be of type float or null. Found 'abc'."),
        ("--data.forget_batch_size=0", "`forget_batch_size` must be 1 or above. Found 0."),
        ("--trainer.devices=0", "devices"),
    ],
)
def test_bad_values_are_told_without_traceback(capsys, tmp_path, monkeypatch, option, told):
    monkeypatch.chdir(tmp_path)
    options = ["--trainer.accelerator=cpu", "--model.model.hidden_size=8", option]
    assert told in error_of(capsys, "fit", "--config", "tofu/ngdiff.yaml", *options)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_debug_shows_the_traceback(monkeypatch):
    with pytest.raises(UnknownNameError):
        main(["list", "nope", "--debug"])
    monkeypatch.setenv("UNLEARNKIT_DEBUG", "1")
    with pytest.raises(UnknownNameError):
        main(["list", "nope"])
    monkeypatch.setenv("UNLEARNKIT_DEBUG", "0")
    assert main(["list", "nope"]) == 2


def test_a_bug_keeps_its_traceback(monkeypatch):
    import unlearnkit.cli as module

    def bug(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(module, "show", bug)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_interruption_has_its_exit_code(monkeypatch, capsys):
    import unlearnkit.cli as module

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "show", stop)
    assert main(["list"]) == 130
    assert capsys.readouterr().err.strip().startswith("interrupted")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_export_has_help(capsys, option):
    assert main(["export", option]) == 0
    assert "usage: unlearnkit export RUN OUT" in capsys.readouterr().out


def test_export_tells_how_it_is_called(capsys, tmp_path):
    assert "`export` takes a run's folder" in error_of(capsys, "export", "runs/x")
    assert "`run` must" in error_of(capsys, "export", str(tmp_path), str(tmp_path / "out"))


def test_completion_script_of_an_unknown_shell_lists_the_shells(capsys):
    assert "bash, fish, zsh" in error_of(capsys, "--print_completion", "cmd")
    assert main(["--print_completion=zsh"]) == 0
    assert "compdef" in capsys.readouterr().out


def test_subcommand_help_is_lightnings(capsys):
    assert main(["fit", "--help"]) == 0
    assert "--trainer.max_steps" in capsys.readouterr().out
