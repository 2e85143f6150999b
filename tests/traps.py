"""Re-introduce each trap that was seen to fail, one at a time, and see that a test notices: ``make traps``.

A trap is a small change to the package. The package and the tests are copied, the change is made in the
copy, and the test named with it must fail there, having passed without the change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Trap:
    """One mistake.

    Attributes:
        number: Its place in the list of traps, or a name for what was found since.
        what: What goes wrong.
        file: The file that is changed, below the root.
        right: The text that is there, once.
        wrong: What takes its place.
        test: The test that must fail then.
    """

    number: str
    what: str
    file: str
    right: str
    wrong: str
    test: str


CONTRACT = "tests/distributed/test_contract.py::test_two_processes_equal_one"
HOST = "unlearnkit/modules/lightning_host.py"
STEP = (
    "            self.module.trainer.strategy"
    ".optimizer_step(optimizer, _nothing, **side_argument(optimizer, side))"
)

TRAPS = [
    Trap(
        "1",
        "DDP's bucket views: a gradient kept by reference is overwritten by the next backward pass",
        HOST,
        "gradients = [gradient.clone() for gradient in gradients]",
        "gradients = list(gradients)",
        f"{CONTRACT}[ddp-views-NGDiff-SGD]",
    ),
    Trap(
        "2",
        "`loss.backward()` in place of `manual_backward`: nothing is reduced, replicas diverge without a word",
        HOST,
        "self.module.manual_backward(loss)",
        "loss.backward()",
        f"{CONTRACT}[ddp-NGDiff-SGD]",
    ),
    Trap(
        "3",
        "a mean over each rank's own batch, where batches are unequal",
        "unlearnkit/reduction.py",
        "everywhere = rank_sum(torch.stack([total.detach().double(), count]))",
        "everywhere = world * torch.stack([total.detach().double(), count])",
        f"{CONTRACT}[ddp-RetainOnly-SGD]",
    ),
    Trap(
        "4",
        "a probe undone by adding and subtracting: 46 % of the elements change",
        "unlearnkit/gradients/probe.py",
        "        if r in (0.0, 1.0):",
        "        for p, s, e in zip(here, self._before, after):\n"
        "            p.add_((e - s) * (r - getattr(self, '_at', 1.0)))\n"
        "        self._at = r\n        return\n        if r in (0.0, 1.0):",
        "tests/gradients/test_probe.py::test_a_hundred_probes_leave_the_same_bits",
    ),
    Trap(
        "5",
        "`optimizer.step()` once more for the probe: Adam's state moves twice a round",
        HOST,
        STEP,
        "            kept = [p.detach().clone() for p in self.parameters]\n"
        "            optimizer.step()\n"
        "            torch._foreach_copy_([p.data for p in self.parameters], kept)\n" + STEP,
        "tests/callbacks/test_gen.py::test_rounds_are_counted_and_the_optimizer_steps_once_a_round",
    ),
    Trap(
        "6",
        "a probe so short that the second difference is rounding noise",
        "unlearnkit/gradients/parabola.py",
        "relative = KAPPA * torch.finfo(torch.float32).eps",
        "relative = 0.0",
        "tests/gradients/test_gen_start.py::test_a_rate_below_the_noise_does_not_stay_there",
    ),
    Trap(
        "7",
        "opposite gradients: Adam blows the rounding noise of their sum up to full steps",
        "unlearnkit/strategies/base.py",
        "CANCELLED = 4e-3",
        "CANCELLED = 0.0",
        "tests/strategies/test_ngdiff.py::test_opposite_gradients_are_skipped_in_every_precision",
    ),
    Trap(
        "8",
        "fp16's scaler divides a normalized direction by a scale it never carried",
        HOST,
        "            scale_(gradients, scale)\n        for parameter",
        "            pass\n        for parameter",
        "tests/distributed/test_precision.py::"
        "test_steps_are_those_of_fp32_in_one_process[ddp-16-mixed-NGDiff]",
    ),
    Trap(
        "9",
        "every optimizer step counts in `global_step`: rounds of several steps end early and miss checkpoints",
        HOST,
        STEP,
        "            self.module.optimizers().step()",
        "tests/modules/test_rounds.py::test_everybody_counts_rounds",
    ),
    Trap(
        "9, second half",
        "a checkpoint every few minutes, which Lightning never writes in manual optimization",
        "unlearnkit/modules/checkpoints.py",
        "        if interval is not None:",
        "        if False:",
        "tests/modules/test_rounds.py::test_a_checkpoint_by_time_is_refused",
    ),
    Trap(
        "10",
        "a run resumed in mid-epoch sees the first batches again",
        "unlearnkit/datamodules/base.py",
        "return int(progress.processed)",
        "return 0",
        "tests/distributed/test_resume.py::test_a_resumed_run_ends_with_the_same_bits[ddp-alternating]",
    ),
    Trap(
        "11",
        "the same order in every cycle, as DistributedSampler has without `set_epoch`",
        "unlearnkit/datamodules/sampler.py",
        "torch.randperm(self.size, generator=self._generator(cycle))",
        "torch.randperm(self.size, generator=self._generator(0))",
        "tests/datamodules/test_sampler.py::test_cycles_are_shuffled_anew",
    ),
    Trap(
        "12",
        "a default that is a lazy instance: a default configuration file can name no other class",
        "unlearnkit/modules/unlearning.py",
        "        strategy: Strategy | None = None,",
        "        strategy: Strategy = __import__('jsonargparse').lazy_instance(NGDiff),",
        "tests/test_cli_lightning.py::test_a_default_configuration_file_may_name_another_strategy",
    ),
    Trap(
        "13",
        "Lightning's default of ModelParallelStrategy: tensor parallelism and no data parallelism at all",
        "unlearnkit/modules/sharded.py",
        '            data_parallel_size="auto",\n            tensor_parallel_size=1,',
        '            data_parallel_size="auto",\n            tensor_parallel_size="auto",',
        f"{CONTRACT}[fsdp2-NGDiff-SGD]",
    ),
    Trap(
        "14, gain at weight zero",
        "U2A's penalty in the gains: its slope is infinite at weight 0, so no candidate outside is ever admitted",
        "unlearnkit/alignment/gain_selectors.py",
        "        order = ranked(rows, gains)\n",
        "        gains = gains - 0.5 * self.strength * weights.rsqrt()\n        order = ranked(rows, gains)\n",
        "tests/alignment/test_gain_selectors.py::test_candidates_are_ranked_by_gain_alone_and_admitted_above_the_least",
    ),
    Trap(
        "14, absorbing zero",
        "multiplicative updates from weight 0: what is admitted never gets any",
        "unlearnkit/alignment/gain_selectors.py",
        "        seeded[new] = 1.0 / size\n",
        "",
        "tests/alignment/test_gain_selectors.py::test_growth_seeds_what_it_admits_and_keeps_the_simplex",
    ),
    Trap(
        "14, indefinite Hessian",
        "conjugate gradients that go on where the inner problem curves down",
        "unlearnkit/alignment/curvature.py",
        "        if curvature <= 0.0:",
        "        if False:",
        "tests/alignment/test_gains.py::test_a_problem_that_curves_down_is_said_to",
    ),
    Trap(
        "weights below fp32",
        "a batch whose weights are too small for fp32 divides by zero: U2A with the paper's settings has such",
        "unlearnkit/reduction.py",
        "whole = torch.where(everywhere[1] > VANISHED, everywhere[1], 1.0).to(total.dtype)",
        "whole = torch.where(everywhere[1] > 0, everywhere[1], 1.0).to(total.dtype)",
        "tests/test_reduction.py::test_weights_too_small_for_fp32_forget_nothing_instead_of_nan",
    ),
    Trap(
        "15, hidden counter",
        "an optimizer with state by side that is not told whose step it is",
        "unlearnkit/host.py",
        'return {"side": side} if getattr(optimizer, "by_side", False) else {}',
        "return {}",
        "tests/test_host.py::test_an_optimizer_with_state_by_side_is_told_whose_step_it_is",
    ),
    Trap(
        "16",
        "a regularised norm, as in TorchJD: wrong by factors where one gradient is much shorter",
        "unlearnkit/strategies/ngdiff.py",
        "Weights(retain=gram.rr.rsqrt(), forget=gram.ff.rsqrt())",
        "Weights(retain=(gram.rr + 1e-4).rsqrt(), forget=(gram.ff + 1e-4).rsqrt())",
        "tests/strategies/test_ngdiff.py::test_properties",
    ),
    Trap(
        "E.1, static graph",
        "micro-batches that do not reduce, under a static graph: replicas diverge without a word",
        HOST,
        'strategy._ddp_kwargs.get("static_graph")',
        "False",
        "tests/distributed/test_contract.py::test_micro_batches_under_a_static_graph_are_refused",
    ),
    Trap(
        "E.1, all masked",
        "a batch without a scored token on any rank divides by zero",
        "unlearnkit/reduction.py",
        "whole = torch.where(everywhere[1] > VANISHED, everywhere[1], 1.0).to(total.dtype)",
        "whole = everywhere[1].to(total.dtype)",
        "tests/distributed/test_language.py::test_two_processes_equal_one[masked-on-both-ddp]",
    ),
    Trap(
        "E.1, last bits",
        "a reported loss that differs between ranks in its last bits, where weights are made of losses",
        "unlearnkit/reduction.py",
        "loss = loss - loss.detach() + (everywhere[0] / whole).to(total.dtype)",
        "loss = loss + ((everywhere[0] / whole).to(total.dtype) - loss).detach()",
        "tests/distributed/test_contract.py::test_replicas_do_not_drift_apart",
    ),
    Trap(
        "E.2, gathered root",
        "FSDP2 keeps the root's parameters gathered after a forward pass: writes to them are lost",
        "unlearnkit/sharding.py",
        "        module.reshard()",
        "        pass",
        "tests/gradients/test_probe.py::test_sharded_parameters_are_probed_like_whole_ones",
    ),
    Trap(
        "E.2, replicas",
        "parameters that every rank holds, counted once a rank",
        "unlearnkit/gradients/gram.py",
        "_summed(found, total.device) / copies",
        "_summed(found, total.device)",
        "tests/distributed/test_sharding.py::test_shards_that_are_held_twice_are_counted_once",
    ),
    Trap(
        "micro-batches, mean of means",
        "each micro-batch is averaged by itself, however few units it has",
        "unlearnkit/reduction.py",
        "total = sums.sum() / estimate.to(sums.dtype)",
        "total = sums.sum() / counts.sum().clamp_min(1.0).to(sums.dtype)",
        "tests/distributed/test_contract.py::test_micro_batches_equal_one_large_batch[NGDiff-AdamW]",
    ),
    Trap(
        "micro-batches, divisor",
        "sums that are never divided by their count",
        "unlearnkit/reduction.py",
        "    scale_(gradients, world * estimate / whole)",
        "    pass",
        "tests/distributed/test_contract.py::test_micro_batches_equal_one_large_batch[FixedWeights-SGD]",
    ),
    Trap(
        "15, negative v",
        "DualOptim+'s base and delta of second moments add up to less than zero: the root is NaN",
        "unlearnkit/optim/plus_update.py",
        "        torch._foreach_abs_(second)",
        "        pass",
        "tests/optim/test_plus_update.py::test_negative_second_moments_are_guarded_and_counted",
    ),
    Trap(
        "15, equal decay",
        "a base that decays as fast as the deltas: the noise of DualOptim+'s update is twice Adam's",
        "unlearnkit/optim/dual_optim_plus.py",
        '"decoupled", (0.9, 0.95), (0.99, 0.999), v_floor=0.1)',
        '"decoupled", (0.9, 0.95), (0.9, 0.95), v_floor=0.1)',
        "tests/optim/test_dual_optim_plus.py::"
        "test_noise_is_a_tenth_more_than_adams_and_twice_with_equal_decay_rates",
    ),
    Trap(
        "masked gradients",
        "a mask on gradients alone: weight decay and momentum go on moving the weights that it masks",
        "unlearnkit/gradients/mask.py",
        "now.bitwise_xor_(old).bitwise_and_(kept).bitwise_xor_(old)",
        "pass",
        "tests/callbacks/test_weight_mask.py::test_masked_weights_are_bit_identical_after_20_rounds[sgd]",
    ),
    Trap(
        "batch statistics",
        "running statistics that each rank moves by itself: FSDP2 never joins them, DDP a round late",
        "unlearnkit/modules/unlearning.py",
        "share_statistics(self.model, self.host.rank_sum, self.trainer.world_size)",
        "pass",
        "tests/distributed/test_image_models.py::test_replicas_do_not_drift_apart",
    ),
]


def table() -> str:
    """Return the table of traps and tests that tests/README.md holds."""
    rows = [f"| {trap.number} | {trap.what} | `{trap.test.removeprefix('tests/')}` |" for trap in TRAPS]
    return "\n".join(["| trap | what goes wrong | the test that fails |", "|:---|:---|:---|", *rows])


def passes(folder: Path, test: str) -> bool:
    """Say whether a test passes in a copy; anything but passed and failed is an error of this script.

    Raises:
        RuntimeError: pytest ended otherwise, for instance because there is no such test.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    # The installed package must not shadow the copy.
    environment = os.environ | {"PYTHONPATH": str(folder)}
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if found.returncode not in (0, 1):
        raise RuntimeError(f"{test}: pytest ended with {found.returncode}\n{found.stdout}\n{found.stderr}")
    return found.returncode == 0


def main() -> int:
    """Try every trap; return how many went unnoticed."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        folder.mkdir()
        for part in ("unlearnkit", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / part, folder / part)
        for test in dict.fromkeys(trap.test for trap in TRAPS):
            if not passes(folder, test):
                raise RuntimeError(f"{test} fails without any trap")
        for trap in TRAPS:
            path = folder / trap.file
            text = path.read_text()
            path.write_text(text.replace(trap.right, trap.wrong))
            noticed = not passes(folder, trap.test)
            path.write_text(text)
            unnoticed += not noticed
            print(f"{'noticed  ' if noticed else 'UNNOTICED'} {trap.number}: {trap.what}", flush=True)
    print(f"{len(TRAPS) - unnoticed} of {len(TRAPS)} noticed")
    return unnoticed


if __name__ == "__main__":
    sys.exit(main())
