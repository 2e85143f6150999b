"""`unlearnkit fit --trainer.devices 2` as a person runs it: true processes, DDP and FSDP2, killed and resumed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.distributed, pytest.mark.slow]

ROUNDS = 6
SMALL = {
    "data.authors": 8,
    "data.questions": 3,
    "data.vocab_size": 300,
    "data.train_batch_size": 6,
    "data.forget_batch_size": 2,
    "data.retain_batch_size": 3,
    "model.model.hidden_size": 16,
    "model.model.layers": 1,
    "model.model.max_length": 128,
    "trainer.max_steps": ROUNDS,
    "trainer.accelerator": "cpu",
    "trainer.devices": 2,
    "trainer.enable_progress_bar": "false",
}
EVERY_ROUND = {
    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
    "init_args": {"every_n_train_steps": 1, "save_top_k": -1, "filename": "{step}"},
}


def start(folder: Path, strategy: str, **more: Any) -> subprocess.Popen[str]:
    """Start a run whose folder is ``folder``/runs."""
    folder.mkdir(parents=True, exist_ok=True)
    options = SMALL | {"trainer.strategy": strategy} | more
    command = [sys.executable, "-m", "unlearnkit", "fit", "--config", "tofu/ngdiff.yaml"]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command += ["--trainer.callbacks+", json.dumps(EVERY_ROUND)]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(run: subprocess.Popen[str]) -> str:
    """Wait for a run to end well; return what it printed."""
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 0, output[-4000:]
    return output


def checkpoint(folder: Path, step: int) -> Path:
    """Return the checkpoint of a round, the newest run's first."""
    return max(folder.glob(f"runs/tofu/ngdiff/version_*/checkpoints/step={step}.ckpt"))


def results(folder: Path) -> dict[str, Any]:
    """Return what the newest run wrote."""
    path = max(folder.glob("runs/tofu/ngdiff/version_*/results.json"))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def kill_after_a_checkpoint(run: subprocess.Popen[str], folder: Path, step: int) -> None:
    """Kill all processes of a run without warning, as soon as the checkpoint of a round is there."""
    deadline = time.monotonic() + 240
    while not list(folder.glob(f"runs/tofu/ngdiff/version_*/checkpoints/step={step}.ckpt")):
        assert run.poll() is None, run.communicate()[0][-4000:]
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the parameters of a single-file checkpoint."""
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


def test_fit_on_two_devices(tmp_path: Path) -> None:
    """DDP and FSDP2 end where one process ends; DDP killed after two rounds and resumed ends with DDP's bits."""
    ends = {}
    for strategy, devices in (("ddp", 2), ("fsdp2", 2), ("auto", 1)):
        finish(start(tmp_path / strategy, strategy, **{"trainer.devices": devices}))
        ends[strategy] = results(tmp_path / strategy)
        assert ends[strategy]["rounds"] == ROUNDS
        assert ends[strategy]["world_size"] == devices
    for strategy in ("ddp", "fsdp2"):
        for name in ("loss/retain", "loss/forget"):
            assert ends[strategy]["metrics"][name] == pytest.approx(ends["auto"]["metrics"][name], rel=1e-4)
        assert ends[strategy]["split_hash"] == ends["auto"]["split_hash"]
    assert checkpoint(tmp_path / "fsdp2", ROUNDS).is_dir()

    killed = tmp_path / "killed"
    kill_after_a_checkpoint(start(killed, "ddp"), killed, 2)
    finish(start(killed, "ddp", ckpt_path=checkpoint(killed, 2)))
    whole, resumed = tensors(checkpoint(tmp_path / "ddp", ROUNDS)), tensors(checkpoint(killed, ROUNDS))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_command_of_the_readme_for_two_devices(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^unlearnkit (.*--trainer\.devices=2.*)$", text, re.M)
    found = subprocess.run(
        [sys.executable, "-m", "unlearnkit", *shlex.split(command)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    assert (results(tmp_path)["rounds"], results(tmp_path)["world_size"]) == (4, 2)
