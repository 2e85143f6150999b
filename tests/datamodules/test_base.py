"""ForgetRetainDataModule: pairing, epochs, probes, and resuming at any round of a real Lightning run."""

from __future__ import annotations

import logging
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, OnExceptionCheckpoint
from lightning.pytorch.trainer.states import RunningStage
from torch.utils.data import DataLoader

from tests.datamodules.numbers import Numbers, plain
from unlearnkit.errors import MismatchError
from unlearnkit.strategies import Alternate

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Recorder(LightningModule):
    """Write down each batch; some rounds may skip the optimizer step, one may fail."""

    def __init__(
        self, skip: tuple[int, ...] = (), fail_at: int | None = None, automatic: bool = False
    ) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.skip, self.fail_at = skip, fail_at
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if len(self.seen) == self.fail_at:
            raise RuntimeError("stopped from outside")
        self.seen.append(plain(batch))
        if self.automatic_optimization:
            return self.weight.sum()
        if len(self.seen) - 1 not in self.skip:
            self.optimizers().step()
        return None

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seen.append((dataloader_idx, plain(batch)))

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveEachRound(Callback):
    """Save a checkpoint after every batch, whatever the optimizer did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        done = trainer.fit_loop.total_batch_idx + 1
        trainer.save_checkpoint(self.folder / f"{done}.ckpt")


def trainer(folder: Path, *callbacks: Callback, **arguments: Any) -> Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(
            isinstance(c, ModelCheckpoint | OnExceptionCheckpoint) for c in callbacks
        ),
        "default_root_dir": folder,
        "limit_val_batches": 0,
    }
    return Trainer(callbacks=list(callbacks), **{**quiet, **arguments})


pytestmark = [
    # Lightning must not take the loaders for ones that cannot resume.
    pytest.mark.filterwarnings("error:.*dataloader is not resumable"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


# ------------------------------------------------------------------------------------ whole sides


def test_a_whole_side_is_gone_through_in_order() -> None:
    data = Numbers()
    data.setup()
    assert [plain(batch) for batch in data.batches("forget")] == [[0, 1, 2, 3, 4, 5], [6]]
    assert [row for batch in data.batches("retain") for row in plain(batch)] == list(range(7, 23))


# ----------------------------------------------------------------------------------------- rounds


def test_a_pair_has_a_batch_of_each_side_in_lock_step() -> None:
    data = Numbers()
    data.setup()
    rounds = [plain(batch) for batch, _, _ in data.train_dataloader()]
    assert len(rounds) == data.rounds_per_epoch == 3  # 7 forget rows, 3 a round
    assert rounds == [plain(data.batch(round_)) for round_ in range(3)]
    assert all(len(pair["forget"]) == 3 and max(pair["forget"]) < 7 for pair in rounds)
    assert all(len(pair["retain"]) == 5 and min(pair["retain"]) >= 7 for pair in rounds)


@pytest.mark.parametrize(
    ("arguments", "rounds"),
    [
        ({"epoch_length": "forget"}, 3),
        ({"epoch_length": "retain"}, 4),
        ({"epoch_length": 11}, 11),
        ({"train_on": "full"}, 4),
        ({"train_on": "retain"}, 3),
        ({"train_on": "retain", "epoch_length": 2}, 2),
    ],
)
def test_epoch_length(arguments: dict[str, Any], rounds: int) -> None:
    data = Numbers(**arguments)
    data.setup()
    assert len(list(data.train_dataloader())) == data.rounds_per_epoch == rounds


@pytest.mark.parametrize(("train_on", "rows"), [("full", range(23)), ("retain", range(7, 23))])
def test_a_single_stream_passes_over_its_rows(train_on: Any, rows: range) -> None:
    data = Numbers(train_on=train_on, train_batch_size=1)
    data.setup()
    assert sorted(row for batch in data.train_dataloader() for row in plain(batch)) == list(rows)


def test_probe_batches_are_reproducible_and_not_those_of_training() -> None:
    data, again = Numbers(), Numbers()
    data.setup()
    again.setup()
    probes = [plain(data.probe_batch("retain", round_)) for round_ in range(6)]
    assert probes == [plain(again.probe_batch("retain", round_)) for round_ in range(6)]
    assert len(set(map(tuple, probes))) == 6
    assert all(probe != plain(data.batch(round_))["retain"] for round_, probe in enumerate(probes))
    assert max(plain(data.probe_batch("forget", 0))) < 7


def test_another_seed_gives_other_batches() -> None:
    data, other = Numbers(seed=0), Numbers(seed=1)
    data.setup()
    other.setup()
    assert plain(data.batch(0)) != plain(other.batch(0))


# ----------------------------------------------------------------------------------------- passes


class Passes(Recorder):
    """A module whose strategy makes whole passes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.strategy = Alternate(mode="pass")


def test_the_rounds_of_a_pass_deal_every_row_of_its_side_once(tmp_path: Path) -> None:
    module, data = Passes(), Numbers()
    assert (data.setup(), data.pass_rounds) == (None, {"forget": 3, "retain": 4})
    trainer(tmp_path, max_steps=15).fit(module, data)
    assert len(module.seen) == 15 and module.seen == [plain(data.batch(round_)) for round_ in range(15)]
    for start in (0, 7):
        forget = [module.seen[round_]["forget"] for round_ in range(start, start + 3)]
        retain = [module.seen[round_]["retain"] for round_ in range(start + 3, start + 7)]
        assert sorted(chain(*forget)) == list(range(7)) and sorted(map(len, forget)) == [2, 2, 3]
        assert sorted(chain(*retain)) == list(range(7, 23)) and [len(rows) for rows in retain] == [4] * 4
    assert module.seen[0]["forget"] != module.seen[7]["forget"], "another order in each pass"


def test_two_processes_share_the_batches_of_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Numbers(micro_batch_size=1)
    data.trainer = trainer(tmp_path)
    data.trainer.strategy._lightning_module = Passes()
    data.setup()
    for round_ in range(9):
        parts = []
        for rank in (0, 1):
            monkeypatch.setattr(data, "_place", lambda rank=rank: (rank, 2))
            parts.append(data.batch(round_)["forget"])
        assert [len(part) for part in parts] == [1, 1], (
            "as many micro-batches on each rank, none of them empty"
        )
        rows = sorted(torch.cat([micro for part in parts for micro in part]).tolist())
        assert rows == sorted(data.sampler("forget").draw(round_)) and 2 <= len(rows) <= 3


# ----------------------------------------------------------------------------------------- resume

RUNS = [
    pytest.param({}, {}, {}, id="pair"),
    pytest.param({"train_on": "full", "bucket": 2}, {}, {}, id="full-bucketed"),
    pytest.param({"train_on": "full"}, {"automatic": True}, {"accumulate_grad_batches": 2}, id="accumulated"),
    pytest.param({}, {"skip": (1, 4, 5)}, {}, id="rounds-without-a-step"),
    pytest.param({"epoch_length": 4}, {"passes": True}, {}, id="passes"),
    pytest.param({"epoch_length": 5}, {}, {"limit_train_batches": 2}, id="limited"),
]


@pytest.mark.parametrize(("data", "module", "run"), RUNS)
def test_resuming_at_any_round_sees_what_an_unbroken_run_sees(
    tmp_path: Path, data: dict[str, Any], module: dict[str, Any], run: dict[str, Any]
) -> None:
    module = dict(module)
    kind = Passes if module.pop("passes", False) else Recorder
    whole = kind(**module)
    unbroken = Numbers(**data)
    trainer(tmp_path, SaveEachRound(tmp_path), max_epochs=3, **run).fit(whole, unbroken)
    total = 3 * min(unbroken.rounds_per_epoch, run.get("limit_train_batches", 99))
    assert whole.seen == [plain(unbroken.batch(round_)) for round_ in range(total)]
    for done in range(1, total):
        rest = kind(**module)
        trainer(tmp_path, max_epochs=3, **run).fit(
            rest, Numbers(**data), ckpt_path=tmp_path / f"{done}.ckpt", weights_only=True
        )
        assert rest.seen == whole.seen[done:], f"after {done} rounds"


def test_resuming_after_max_steps(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    keep = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, keep, max_steps=4).fit(first, Numbers())
    data = Numbers()
    trainer(tmp_path, max_steps=10).fit(second, data, ckpt_path=keep.last_model_path)
    assert first.seen + second.seen == [plain(data.batch(round_)) for round_ in range(10)]


@pytest.mark.parametrize("round_", [2, 3, 4])
def test_resuming_after_an_exception_repeats_the_round_that_failed(tmp_path: Path, round_: int) -> None:
    first, second = Recorder(fail_at=round_), Recorder()
    with pytest.raises(RuntimeError, match="stopped from outside"):
        trainer(tmp_path, OnExceptionCheckpoint(tmp_path), max_epochs=2).fit(first, Numbers())
    data = Numbers()
    trainer(tmp_path, max_epochs=2).fit(second, data, ckpt_path=tmp_path / "on_exception.ckpt")
    assert first.seen + second.seen == [plain(data.batch(k)) for k in range(6)]


def test_resuming_with_a_worker_process(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    keep = ModelCheckpoint(tmp_path, save_last=True)
    arguments = {"train_on": "full", "num_workers": 1}
    trainer(tmp_path, keep, max_steps=5).fit(first, Numbers(**arguments))
    data = Numbers(**arguments)
    trainer(tmp_path, max_steps=9).fit(second, data, ckpt_path=keep.last_model_path)
    assert first.seen + second.seen == [plain(data.batch(round_)) for round_ in range(9)]


def test_a_split_that_is_not_the_checkpoints(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, keep, max_steps=1).fit(Recorder(), Numbers())
    with pytest.raises(
        MismatchError, match=r"a split that is not the checkpoint's.*Use the data, forget set"
    ):
        trainer(tmp_path, max_steps=2).fit(Recorder(), Numbers("other"), ckpt_path=keep.last_model_path)


def test_a_resumed_run_that_trains_on_something_else(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, keep, max_steps=1).fit(Recorder(), Numbers(train_on="full"))
    with pytest.raises(
        MismatchError, match=r"`train_on` must be .* 'full'. Found 'retain'. Set train_on='full'"
    ):
        trainer(tmp_path, max_steps=2).fit(
            Recorder(), Numbers(train_on="retain"), ckpt_path=keep.last_model_path
        )
    # Evaluation asks for the same split only.
    trainer(tmp_path, limit_val_batches=1).validate(
        Recorder(), Numbers(), ckpt_path=keep.last_model_path, verbose=False
    )


# ------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("what", ["validate", "test", "predict"])
def test_evaluation_passes_once_over_both_sides_in_order(tmp_path: Path, what: str) -> None:
    module = Recorder()
    getattr(trainer(tmp_path, limit_val_batches=1.0), what)(module, datamodule=Numbers())
    for number, rows in enumerate((range(7), range(7, 23))):
        assert [row for where, batch in module.seen if where == number for row in batch] == list(rows)


# -------------------------------------------------------------------------------------- processes


def test_two_processes_share_each_batch_whatever_lightning_would_inject(tmp_path: Path) -> None:
    # The trainer of two processes, asked before any is launched.
    run = trainer(tmp_path, devices=2, strategy="ddp", use_distributed_sampler=True)
    data = Numbers()
    data.trainer = run
    data.setup()
    assert data._place() == (0, 2)

    def process(loader: Any) -> Any:
        return run._data_connector._prepare_dataloader(loader, shuffle=True, mode=RunningStage.TRAINING)

    loader = data.train_dataloader().flattened[0]
    assert process(loader) is loader
    ordinary = DataLoader(range(7), batch_size=3)  # type: ignore[arg-type]
    assert process(ordinary) is not ordinary
    assert next(iter(loader)).tolist() == data.sampler("forget").batch(0)[0::2]


@pytest.mark.parametrize("mode", [RunningStage.VALIDATING, RunningStage.PREDICTING])
def test_two_processes_evaluate_as_many_batches_each(
    tmp_path: Path, mode: RunningStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tmp_path, devices=2, strategy="ddp", use_distributed_sampler=True)
    data = Numbers(train_batch_size=2)
    data.trainer = run
    data.setup()
    for rank, want in enumerate(([[0, 2], [4, 6]], [[1, 3], [5, 0]])):  # the last is filled up
        monkeypatch.setattr(data, "_place", lambda rank=rank: (rank, 2))
        loaders = data.val_dataloader() if mode == RunningStage.VALIDATING else data.predict_dataloader()
        prepared = run._data_connector._prepare_dataloader(loaders[0], shuffle=False, mode=mode)
        assert [batch.tolist() for batch in prepared] == want
