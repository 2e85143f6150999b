"""Any two data sets as the two sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import DataError
from unlearnkit.testing import toy_dataset


def paired(batch_size: int = 4, seed: int = 0) -> PairedDatasets:
    data = PairedDatasets(toy_dataset(6), toy_dataset(10, seed=1), batch_size=batch_size, seed=seed)
    data.setup()
    return data


def test_an_epoch_passes_every_forget_sample_and_indices_tell_sides_apart() -> None:
    seen: dict[str, set[int]] = {"forget": set(), "retain": set()}
    for round_ in range(3):  # 6 forget samples in batches of 4: two cycles in three rounds
        for side, batch in paired().batch(round_).items():
            seen[side] |= set(batch["index"].tolist())
    assert seen["forget"] == set(range(6))
    assert seen["retain"] <= set(range(6, 16))


def test_samples_come_unchanged() -> None:
    batch = next(paired().batches("retain"))
    want = toy_dataset(10, seed=1)[:4]
    assert torch.equal(batch["inputs"], torch.stack([x for x, _ in want]))
    assert batch["targets"].tolist() == [y for _, y in want]


def test_other_samples_are_another_split() -> None:
    other = PairedDatasets(toy_dataset(6, seed=5), toy_dataset(10, seed=1))
    other.setup()
    assert other.split.hash != paired().split.hash == paired(seed=9).split.hash


def test_inputs_may_be_nested_and_of_any_type() -> None:
    one, other = {"x": torch.zeros(2, dtype=torch.bfloat16), "name": "a"}, {"x": np.zeros(2), "name": "b"}
    data = PairedDatasets([(one, 0)], [(other, 0)])
    data.setup()
    renamed = PairedDatasets([({**one, "name": "c"}, 0)], [(other, 0)])
    renamed.setup()
    assert data.split.hash != renamed.split.hash


def test_a_sample_on_both_sides_is_refused() -> None:
    shared = toy_dataset(6)[2]
    data = PairedDatasets(toy_dataset(6), [*toy_dataset(3, seed=1), shared])
    with pytest.raises(DataError, match="Found sample 2 of `forget` again as sample 3 of `retain`"):
        data.setup()


def test_a_batch_larger_than_a_side_takes_the_side_whole() -> None:
    assert paired(batch_size=64).batch(0)["forget"]["targets"].shape == (6,)


def test_an_empty_or_streamed_side_is_refused() -> None:
    with pytest.raises(DataError, match="`retain` must hold at least one sample"):
        PairedDatasets(toy_dataset(6), [])
    with pytest.raises(DataError, match="`forget` must be a map-style data set"):
        PairedDatasets(iter([]), toy_dataset(6))


@pytest.mark.parametrize(("side", "sizes"), [("forget", (1, 4)), ("retain", (4, 1))])
def test_a_side_of_fewer_samples_than_processes_is_refused_before_training_alone(
    side: str, sizes: tuple[int, int]
) -> None:
    data = PairedDatasets(toy_dataset(sizes[0]), toy_dataset(sizes[1], seed=1), batch_size=2)
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    data.trainer = Trainer(devices=2, strategy="ddp", **options)  # asked before any process is launched
    with pytest.raises(
        DataError, match=rf"`{side}` must hold a sample for each process. Found 1 of them for 2"
    ):
        data.setup("fit")
    data.setup("validate")
    data.trainer = Trainer(devices=1, **options)
    data.setup("fit")
