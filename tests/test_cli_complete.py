"""Completion: what is offered where, and bash doing it for real."""

import inspect
import shutil
import subprocess
import sys

import pytest

from unlearnkit.cli_complete import COMMANDS, SCRIPTS, candidates
from unlearnkit.cli_listing import TOPICS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("unlearnkit li", ["list"]),
        ("unlearnkit list strat", ["strategies"]),
        ("unlearnkit list strategies ", []),
        ("unlearnkit --print_completion ", list(SCRIPTS)),
        ("unlearnkit fit --model.strategy=NG", ["--model.strategy=NGDiff"]),
        ("unlearnkit fit --model.strategy NG", ["NGDiff"]),
        ("unlearnkit fit --model Unl", ["UnlearningModule"]),
        ("unlearnkit compare --model Cau", ["CausalLM"]),
        ("unlearnkit fit --config tofu/ngdiff_", ["tofu/ngdiff_gen.yaml"]),
        ("unlearnkit compare --config tofu/q", ["tofu/quickstart.yaml"]),
        ("unlearnkit compare --config tofu/ngdiff", []),
        ("unlearnkit fit --config trainer/two", ["trainer/two_nodes.yaml"]),
        ("unlearnkit fit --model.model.shape=phi", ["--model.model.shape=phi-1.5"]),
        ("unlearnkit compare --methods ngdiff_", ["ngdiff_gen"]),
        ("unlearnkit fit --trainer.max_st", ["--trainer.max_steps"]),
        ("unlearnkit compare --see", ["--seeds"]),
        ("unlearnkit continual --config tofu/", ["tofu/continual.yaml"]),
        ("unlearnkit continual --model Cau", ["CausalLM"]),
        ("unlearnkit continual --refer", ["--reference"]),
        ("unlearnkit downstream --m", ["--model"]),
        ("unlearnkit export ", []),
        ("unlearnkit nope ", []),
        ("unlearnkit fit 'open", []),
    ],
)
def test_what_is_offered(line, expected):
    assert candidates(line) == expected


def test_commands_and_topics_are_all_offered():
    assert set(COMMANDS) <= set(candidates("unlearnkit "))
    assert candidates("unlearnkit list ") == list(TOPICS)


def test_options_are_those_of_the_parsers():
    from lightning.pytorch import Trainer

    from unlearnkit.study.continual import continual_parser
    from unlearnkit.study.downstream import downstream_parser
    from unlearnkit.study.settings import comparison_parser

    offered = candidates("unlearnkit fit --trainer.")
    assert {f"--trainer.{name}" for name in inspect.signature(Trainer).parameters} <= set(offered)
    known = {
        option.partition(".")[0]
        for option in comparison_parser()._option_string_actions
        if option.startswith("--")
    }
    sections = {option.partition(".")[0] for option in candidates("unlearnkit compare --")}
    assert sections <= known
    for command, parser in (("continual", continual_parser()), ("downstream", downstream_parser())):
        offered = {option.partition(".")[0] for option in candidates(f"unlearnkit {command} --")}
        assert offered <= {option.partition(".")[0] for option in parser._option_string_actions}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [("unlearnkit list met", "methods metrics"), ("unlearnkit fit --model.strategy=NG", "NGDiff")],
)
def test_bash_completes(tmp_path, line, expected):
    command = tmp_path / "unlearnkit"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m unlearnkit "$@"\n')
    command.chmod(0o755)
    script = f"""
        PATH={tmp_path}:$PATH
        eval "$(unlearnkit --print_completion bash)"
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDBREAKS='='
        _unlearnkit; echo "${{COMPREPLY[*]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
