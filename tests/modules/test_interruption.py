"""A run stopped anywhere, half-steps included, and resumed from its last checkpoint ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.modules.interrupted import (
    KILLED,
    KILLED_ROUNDS,
    KINDS,
    PLACES,
    ROUNDS,
    Stop,
    Stopped,
    Stopper,
    difference,
    go_on,
    newest,
)
from tests.modules.test_checkpoints import SMALL
from tests.modules.tiny import flat, quiet
from tests.representatives import tiny_data
from unlearnkit.callbacks import GeN
from unlearnkit.cli import main
from unlearnkit.errors import ArtifactError
from unlearnkit.modules.checkpoints import require_whole_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

STOPS = 200
ROOT = Path(__file__).parents[2]


# -------------------------------------------------------------------------------- 200 stops in-process


@pytest.mark.parametrize("name", KINDS)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Lives of a few stops each; every checkpoint that a life writes is compared with the whole run's."""
    kind, rng = KINDS[name], random.Random(name)
    whole = go_on(kind, tmp_path / "whole")
    deck: list[str] = []
    stops, lives, each = 0, 0, STOPS // len(KINDS)
    while stops < each:
        lives += 1
        folder, history = tmp_path / str(lives), []
        for _ in range(min(rng.randint(2, 5), each - stops)):
            done = newest(folder)[0]
            if done == ROUNDS:
                break
            deck = deck or rng.sample(PLACES, len(PLACES))
            stop = Stop.draw(kind, rng, done, deck.pop())
            with pytest.raises(Stopped):
                go_on(kind, folder, stop)
            history.append(stop)
            stops += 1
        assert torch.equal(flat(go_on(kind, folder).model), flat(whole.model)), history
        for round_ in range(1, ROUNDS + 1):
            place = difference(folder / f"step={round_}.ckpt", tmp_path / "whole" / f"step={round_}.ckpt")
            assert place is None, f"round {round_} differs in {place} after {history}"


@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_each_round_changes_nothing(name: str, tmp_path: Path) -> None:
    """The run that the others are compared with is the run of somebody who saves nothing."""
    kind = KINDS[name]
    saved, plain = go_on(kind, tmp_path), kind.module()
    gen = [] if kind.gen is None else [GeN(every=kind.gen)]
    quiet(callbacks=gen, max_steps=ROUNDS, max_epochs=-1).fit(plain, kind.data())
    assert torch.equal(flat(plain.model), flat(saved.model))
    assert not torch.equal(flat(plain.model), flat(kind.module().model))


@pytest.mark.parametrize("stops", [(3, 4), (6, 8), (2, 5), (3, 6, 7)], ids=str)
def test_epochs_are_counted_right_over_several_resumes(stops: tuple[int, ...], tmp_path: Path) -> None:
    """An epoch has 3 rounds: Lightning alone would make 10 rounds of 9 after stops at 3 and 4."""
    kind = KINDS[KILLED]
    for stop in (*stops, None):
        keep: list[Any] = [ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")]
        if stop is not None:
            keep.append(Stopper(Stop("after saving", stop - 1)))
        trainer, module = quiet(callbacks=keep, enable_checkpointing=True, max_epochs=3), kind.module()
        with nullcontext() if stop is None else pytest.raises(Stopped):
            trainer.fit(module, kind.data(), ckpt_path=newest(tmp_path)[1])
    assert (trainer.global_step, trainer.current_epoch) == (9, 3)


def test_a_stopper_stops_where_it_says(tmp_path: Path) -> None:
    """Half-steps included: the seventh step of the optimizer in round 2 is the second retain step."""
    stopper = Stopper(Stop("step", 2, 7))
    module = KINDS[KILLED].module()
    with pytest.raises(Stopped, match="round=2, number=7"):
        quiet(callbacks=[stopper], max_steps=ROUNDS, max_epochs=-1).fit(module, KINDS[KILLED].data())
    assert (module.host.round, stopper.calls) == (2, 7)


# ------------------------------------------------------------------------------------- 2 true kills


def newest_whole(folder: Path) -> tuple[int, Path]:
    """Return the last round with a whole checkpoint: a kill may leave one half-written."""
    for round_ in range(newest(folder)[0], 0, -1):
        path = folder / f"step={round_}.ckpt"
        try:
            require_whole_checkpoint(path)
        except ArtifactError:
            path.unlink(missing_ok=True)
        else:
            return round_, path
    raise AssertionError("no checkpoint was written before the kill")


def kill_at_random(command: list[str], folder: Path, rng: random.Random, most: int) -> int:
    """Start a run in a process, kill it at a random moment after a random round, and return that round."""
    last = rng.randint(2, most)
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not (folder / f"step={last}.ckpt").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1].decode()
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return last


def test_a_process_killed_in_a_round_of_half_steps_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    command = ["-m", "tests.modules.interrupted", str(tmp_path / "killed")]
    last = kill_at_random(command, tmp_path / "killed", random.Random(1), KILLED_ROUNDS // 2)
    assert last <= newest_whole(tmp_path / "killed")[0] < KILLED_ROUNDS
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    go_on(KINDS[KILLED], tmp_path / "whole", rounds=KILLED_ROUNDS)
    final = f"step={KILLED_ROUNDS}.ckpt"
    assert difference(tmp_path / "killed" / final, tmp_path / "whole" / final) is None


def test_a_killed_command_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rounds = 40

    def command(folder: Path) -> list[str]:
        # A `ModelCheckpoint` stands last in SMALL: what follows is about it.
        keep = [f"--trainer.callbacks.dirpath={folder}", "--trainer.callbacks.save_top_k=-1"]
        keep += ["--trainer.callbacks.filename={step}", f"--trainer.max_steps={rounds}"]
        logs = [f"--trainer.logger.save_dir={tmp_path / 'runs'}"]
        return ["fit", "--config=tofu/ngdiff_gen.yaml", *tiny_data("tofu/"), *SMALL, *keep, *logs]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    last = kill_at_random(["-m", "unlearnkit", *command(killed)], killed, random.Random(2), rounds // 2)
    done, path = newest_whole(killed)
    assert last <= done < rounds
    resume = [sys.executable, "-m", "unlearnkit", *command(killed), f"--ckpt_path={path}"]
    subprocess.run(resume, cwd=ROOT, check=True, capture_output=True)
    assert main(command(whole)) == 0
    assert difference(killed / f"step={rounds}.ckpt", whole / f"step={rounds}.ckpt") is None
