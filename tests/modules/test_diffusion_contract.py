"""Diffusion models in one process: micro-batches, probes, masks, stops; noise is a function of seed, round, row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from tests.modules.diffusion_models import (
    EVERYTHING,
    NETWORKS,
    RESUMED,
    digits,
    generator,
    moved,
    train,
)
from tests.modules.image_models import worst
from tests.modules.interrupted import ROUNDS, Stop, Stopped, difference, go_on
from unlearnkit.callbacks import WeightMask
from unlearnkit.gradients import Displacement, saliency_mask
from unlearnkit.modules import UnlearningModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def weights(found: UnlearningModule) -> list[torch.Tensor]:
    """Return all parameters."""
    return [p.detach() for p in found.host.parameters]


@pytest.mark.parametrize(("network", "kind"), EVERYTHING)
def test_micro_batches_equal_one_batch(network: str, kind: str) -> None:
    """The noise of a sample does not hang on what it is batched with."""
    whole, parts = train(network, kind), train(network, kind, digits(micro_batch_size=3))
    assert moved(weights(whole), network) > 1e-3
    assert worst(weights(parts), weights(whole)) <= 1e-10


def test_dropout_in_the_network_makes_micro_batches_another_run() -> None:
    """It is drawn for each sample in the order in which batches come."""
    whole, parts = (
        train("unet-dropout", "NGDiff"),
        train("unet-dropout", "NGDiff", digits(micro_batch_size=3)),
    )
    assert worst(weights(parts), weights(whole)) > 1e-4


def test_seeds_draw_other_noise() -> None:
    one, other = (train("unet", "LossNorm", digits(seed=seed)) for seed in (0, 1))
    assert worst(weights(one), weights(other)) > 1e-4


class Probes(Callback):
    """Look at the model after each round in all the ways there are, and see that it stays as it is."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        model, before = pl_module.model, self.state(pl_module.model)
        data = trainer.datamodule
        displacement = Displacement(model)
        with torch.no_grad():
            for parameter in pl_module.host.parameters:
                parameter.add_(0.1)
        displacement.measure()
        for multiple in (-1.0, 0.0):
            displacement.write(multiple)
            pl_module.loss_on("retain", batch["retain"])
        displacement.release()
        for side in ("forget", "retain"):
            one, again = (pl_module.loss_on(side, batch[side])[0] for _ in range(2))
            assert torch.equal(one, again), "the same noise in each look"
            pl_module.loss_on(side, data.probe_batch(side, trainer.global_step))
        saliency_mask(model, data.batches, "salun")
        model.sample(torch.arange(3), steps=2, guidance=1.0, eta=1.0, seed=0)
        after = self.state(model)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    @staticmethod
    def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Return weights, buffers, modes and the generator's state."""
        modes = torch.tensor([part.training for part in model.modules()])
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        return kept | {" modes": modes, " generator": torch.get_rng_state()}


@pytest.mark.parametrize(("network", "kind"), [*((name, "SalUn") for name in NETWORKS), ("unet", "SA")])
def test_probes_and_samples_leave_no_trace(network: str, kind: str) -> None:
    """Neither where they are made nor at the end."""
    plain, looked = train(network, kind), train(network, kind, None, (Probes(),))
    one, other = plain.model.state_dict(), looked.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("network", "kind"), [("unet", "SalUn"), ("unet", "DualOptim"), ("dit", "SalUn-noise")]
)
def test_masks_are_hard(network: str, kind: str) -> None:
    """Half of all weights keep their bits, with decay and momentum; of the others nearly all move."""
    watch: dict[str, Any] = {}

    class Keep(Callback):
        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            mask = next(one for one in trainer.callbacks if isinstance(one, WeightMask))
            watch.update(mask.masks)

    found, start = train(network, kind, None, (Keep(),)), dict(generator(network).named_parameters())
    kept = total = still = 0
    for name, parameter in found.model.named_parameters():
        same, may = parameter.detach() == start[name].detach(), watch[name]
        assert same[~may].all(), name
        kept, total, still = kept + int(may.sum()), total + may.numel(), still + int(same[may].sum())
    assert kept == total // 2
    assert still < 0.05 * kept


PLACES = (Stop("backward", 1), Stop("while saving", 3), Stop("before", 6))


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Noise, dropout, samples of the target, moments, mask and counters of every checkpoint."""
    kind = RESUMED[name]
    go_on(kind, tmp_path / "whole")
    for stop in PLACES:
        with pytest.raises(Stopped):
            go_on(kind, tmp_path / "stopped", stop)
    go_on(kind, tmp_path / "stopped")
    for round_ in range(1, ROUNDS + 1):
        places = [tmp_path / folder / f"step={round_}.ckpt" for folder in ("stopped", "whole")]
        assert difference(*places) is None, round_
