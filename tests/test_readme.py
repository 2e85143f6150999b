"""The README runs as written, and its tables are those of the committed results."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.readme_table import replaced

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("unlearnkit ")
]


ELSEWHERE = [c for c in COMMANDS if "--trainer.devices" in c or "--config trainer/" in c]
"""Commands for several processes: tests/distributed/test_cli.py runs the one for two."""


def test_the_command_for_many_gpus_parses_as_written() -> None:
    from unlearnkit.cli_lightning import UnlearnKitCLI
    from unlearnkit.packaged import resolve_configs

    (command,) = [c for c in ELSEWHERE if "--config trainer/" in c]

    class Parsed(Exception):
        """What the command says."""

    class Parser(UnlearnKitCLI):
        def before_instantiate_classes(self) -> None:
            raise Parsed(self.config)

    with pytest.raises(Parsed) as found:
        Parser(resolve_configs(shlex.split(command)[1:]), "name")
    trainer = found.value.args[0].fit.trainer
    assert (trainer.devices, trainer.strategy) == (8, "fsdp2")


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[0][:30])
def test_python_blocks_run_as_written(code: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_light_commands_run_as_written_one_after_the_other(tmp_path: Path, monkeypatch: Any) -> None:
    """List, make a target, export it, make it forget."""
    from unlearnkit.cli import main

    monkeypatch.chdir(tmp_path)
    chosen = [c for c in COMMANDS if not (" compare " in c or "/seed0/" in c or c in ELSEWHERE)]
    assert [shlex.split(command)[1] for command in chosen] == ["fit", "fit", "list", "fit", "export", "fit"]
    for command in chosen:
        assert main(shlex.split(command)[1:]) == 0, command
    assert (tmp_path / "runs" / "tofu" / "ngdiff" / "version_0" / "checkpoints").is_dir()


@pytest.mark.parametrize("command", [c for c in COMMANDS if " compare " in c])
def test_comparisons_parse_as_written(command: str) -> None:
    """Minutes each: their flow is tested on a tiny comparison, here every option must be understood."""
    from unlearnkit.packaged import resolve_configs
    from unlearnkit.study.method import load_method
    from unlearnkit.study.settings import Setting, comparison_parser

    parser = comparison_parser()
    setting = Setting(parser, parser.parse_args(resolve_configs(shlex.split(command)[2:])))
    assert [load_method(name, setting.config.benchmark).label for name in setting.config.methods]


def test_the_export_command_is_understood(tiny_run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    from unlearnkit.cli import main

    (command,) = [c for c in COMMANDS if "/seed0/" in c]
    _, verb, _run, out = shlex.split(command)
    assert main([verb, str(tiny_run[0] / "seed0" / "gdiff"), str(tmp_path / out)]) == 0
    assert (tmp_path / out / "model.safetensors").exists()


def tables() -> list[tuple[str, str]]:
    return re.findall(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", README, re.S)


@pytest.mark.parametrize(("path", "text"), tables(), ids=[path for path, _ in tables()])
def test_tables_are_those_of_the_committed_results(path: str, text: str) -> None:
    assert text.strip() == (ROOT / path).read_text("utf-8").strip()


def test_the_table_of_strategies_is_generated() -> None:
    assert replaced(README) == README, "run: make table"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_benchmark_numbers_are_those_of_the_committed_runs() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    results = ROOT / "benchmarks" / "results"
    cost = json.loads((results / "step_cost.json").read_text("utf-8"))
    for found in cost["ratio_to_two_passes"].values():
        low, high = found["quartile_1"], found["quartile_3"]
        assert f"| {found['median']:.2f} ({low:.2f} to {high:.2f}) |" in text
    for found in cost["gen"].values():
        assert f"| + {100 * found['share']:.1f} % |" in text
    for size in ("tiny", "small"):
        run = json.loads((results / f"evaluation_{size}.json").read_text("utf-8"))
        for work in ("scored", "generated", "whole"):
            by_row, padded = (run[work]["ratios"][other] for other in ("row by row", "padded"))
            assert re.search(rf"questions \| {work} \| {by_row:.1f}[^|]* \| {padded:.1f}[^|]* \|", text), (
                size,
                work,
            )
