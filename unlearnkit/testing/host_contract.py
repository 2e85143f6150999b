"""The contract of a host, as a suite: subclass ``HostContract`` in a test file and say how to run rounds.

Whatever hosts a strategy (plain torch, Lightning, something of one's own) must make the same
parameters as twenty lines of ``torch.autograd.grad``, count rounds, and leave nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.batches import SIDES, ForgetRetainBatch, LabelledBatch, Side
from unlearnkit.errors import NonFiniteError
from unlearnkit.gradients import gram_matrix
from unlearnkit.host import Host
from unlearnkit.objectives import NLL, AscentNLL, Objective
from unlearnkit.strategies import (
    DWA,
    IMTLG,
    MGDA,
    RLW,
    AlignedMTL,
    CAGrad,
    ConFIG,
    DualProj,
    FixedWeights,
    ForgetOnly,
    GradDrop,
    GradNorm,
    GradVaccine,
    GramStrategy,
    Losses,
    LossNorm,
    LossStrategy,
    NashMTL,
    NGDiff,
    PCGrad,
    PrimalDual,
    RetainOnly,
    RoundReport,
    Strategy,
    UPGrad,
)
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair

ROUNDS = 6

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "RetainOnly": RetainOnly,
    "ForgetOnly": ForgetOnly,
    "FixedWeights": lambda: FixedWeights(c=0.7),
    "LossNorm": LossNorm,
    "NGDiff": NGDiff,
    "IMTLG": IMTLG,
    "NashMTL": NashMTL,
    "ConFIG": ConFIG,
    "PCGrad": PCGrad,
    "UPGrad": UPGrad,
    "DualProj": DualProj,
    "MGDA": MGDA,
    "CAGrad": lambda: CAGrad(c=0.4),
    "AlignedMTL": AlignedMTL,
    "GradVaccine": lambda: GradVaccine(beta=0.3),
    "GradNorm": lambda: GradNorm(alpha=0.5, lr=0.1, layer="weight"),
    "GradDrop": lambda: GradDrop(seed=5),
    "RLW": lambda: RLW(seed=5),
    "DWA": lambda: DWA(every=2),
    "PrimalDual": lambda: PrimalDual(rate=0.5),
}
"""The strategies every host is tried with."""

Optimizers = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Optimizers] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.5),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.1, fused=True),
}
"""The optimizers every host is tried with."""


def double_model() -> ToyClassifier:
    """Return the float64 model of the suite."""
    return ToyClassifier(seed=3, dtype=torch.float64)


def double_batches(rounds: int = ROUNDS) -> list[ForgetRetainBatch]:
    """Return float64 pairs of batches of unequal sizes, other ones each round."""
    return [toy_pair(forget=4 + r % 3, retain=6 + r % 2, seed=r, dtype=torch.float64) for r in range(rounds)]


@dataclass
class Case:
    """What a host is asked to do: one strategy, one optimizer, one batch a round.

    Attributes:
        strategy: The strategy.
        batches: One pair of batches for each round.
        model: The model, float64.
        forget: Objective of the forget side.
        retain: Objective of the retain side.
        optimizer: Makes the optimizer.
        scales: ``lr_scale`` in each round; default 1 throughout.
    """

    strategy: Strategy
    batches: Sequence[ForgetRetainBatch] = field(default_factory=double_batches)
    model: nn.Module = field(default_factory=double_model)
    forget: Objective = field(default_factory=AscentNLL)
    retain: Objective = field(default_factory=NLL)
    optimizer: Optimizers = OPTIMIZERS["SGD"]
    scales: Sequence[float] | None = None

    def scale(self, round_: int) -> float:
        """Return ``lr_scale`` in a round."""
        return 1.0 if self.scales is None else self.scales[round_]


@dataclass
class Outcome:
    """What a host made of a case.

    Attributes:
        parameters: The model's parameters after the last round.
        reports: The strategy's report of each round.
        round: The host's counter after the last round.
        rates: The optimizer's own learning rate after each round.
        gradients_left: How many parameters have a ``grad`` after the last round.
    """

    parameters: list[Tensor]
    reports: list[RoundReport]
    round: int
    rates: list[float]
    gradients_left: int


class HostContract:
    """Tests that every host passes; a subclass implements ``run``."""

    def run(self, case: Case) -> Outcome:
        """Host the case's strategy for one round a batch."""
        raise NotImplementedError

    # --------------------------------------------------------------------------- what is computed

    def test_rounds_equal_naive_autograd(self) -> None:
        """Every strategy with every optimizer makes the parameters of the naive loop, to 1e-12."""
        for name, strategy in STRATEGIES.items():
            for kind, optimizer in OPTIMIZERS.items():
                outcome = self.run(Case(strategy(), optimizer=optimizer))
                expected = naive_rounds(Case(strategy(), optimizer=optimizer))
                _assert_close(outcome.parameters, expected, f"{name} with {kind}")

    def test_micro_batches_equal_one_batch(self) -> None:
        """A list of unequal micro-batches is one large batch."""
        for name, strategy in STRATEGIES.items():
            whole = self.run(Case(strategy()))
            parts = self.run(Case(strategy(), batches=[_in_parts(batch) for batch in double_batches()]))
            _assert_close(parts.parameters, whole.parameters, name)

    def test_empty_side_contributes_nothing(self) -> None:
        """Without a forget sample NGDiff follows the retain gradient at unit length."""
        batch = toy_pair(seed=1, dtype=torch.float64)
        empty: LabelledBatch = {
            "inputs": batch["forget"]["inputs"][:0],
            "targets": batch["forget"]["targets"][:0],
            "index": batch["forget"]["index"][:0],
        }
        model = double_model()
        model.losses(batch["retain"]).mean().backward()  # type: ignore[no-untyped-call]
        found = [p.grad for p in model.parameters() if p.grad is not None]
        length = torch.stack([g.square().sum() for g in found]).sum().sqrt()
        expected = [p.detach() - 0.05 * g / length for p, g in zip(model.parameters(), found, strict=True)]
        outcome = self.run(Case(NGDiff(), batches=[{"forget": empty, "retain": batch["retain"]}]))
        _assert_close(outcome.parameters, expected, "an empty forget batch")
        assert outcome.reports[0].losses["forget"].item() == 0.0

    def test_one_sided_strategies_leave_the_other_side_alone(self) -> None:
        """The other side's batch is not even looked at."""
        sides: dict[Side, Strategy] = {"retain": RetainOnly(), "forget": ForgetOnly()}
        for side, strategy in sides.items():
            other = SIDES[1 - SIDES.index(side)]
            batches = []
            for pair in double_batches():
                poisoned: Any = {side: pair[side], other: _Untouchable()}
                batches.append(poisoned)
            outcome = self.run(Case(strategy, batches=batches))
            assert all(set(report.losses) == {side} for report in outcome.reports)

    # ------------------------------------------------------------------------- what is kept in order

    def test_rounds_are_counted_and_nothing_is_left(self) -> None:
        """The counter stands at the number of rounds, skipped ones too; no ``grad`` is left."""
        for name, strategy in STRATEGIES.items():
            outcome = self.run(Case(strategy()))
            assert outcome.round == ROUNDS, f"{name}: {outcome.round} rounds counted, {ROUNDS} made"
            assert outcome.gradients_left == 0, f"{name} leaves {outcome.gradients_left} gradients"
        same = toy_batch(5, dtype=torch.float64)
        outcome = self.run(Case(NGDiff(), batches=[{"forget": same, "retain": same}] * 3))
        assert [report.skipped for report in outcome.reports] == ["the gradients cancel"] * 3
        assert outcome.round == 3
        _assert_close(outcome.parameters, list(double_model().parameters()), "skipped rounds")

    def test_rate_is_scaled_for_the_step_and_put_back(self) -> None:
        """``lr_scale`` multiplies the learning rate within the step; the group's rate stays as it was."""
        scales = [1.0, 0.5, 3.0, 1 / 3, 0.0, 1.0]
        for kind, optimizer in OPTIMIZERS.items():
            rate = optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"]
            outcome = self.run(Case(NGDiff(), optimizer=optimizer, scales=scales))
            expected = naive_rounds(Case(NGDiff(), optimizer=optimizer, scales=scales))
            _assert_close(outcome.parameters, expected, f"scaled {kind}")
            assert outcome.rates == [rate] * ROUNDS, f"the rate {rate} became {outcome.rates}"

    def test_gradients_never_alias(self) -> None:
        """The gradients of one backward pass are not overwritten by the next, and ``grad`` is None."""
        probe = _AliasProbe()
        self.run(Case(probe))
        assert probe.rounds == ROUNDS

    def test_divergence_names_side_and_round(self) -> None:
        """A loss that turns NaN stops the run with side and round."""
        for side in SIDES:
            batches = double_batches()
            batches[3][side]["inputs"][0, 0] = torch.nan
            message = _refusal(self.run, Case(NGDiff(), batches=batches))
            assert f"The {side} loss must stay finite. Found nan in round 3." in message

    def test_non_finite_gradient_is_skipped(self) -> None:
        """A finite loss with a NaN gradient moves nothing, counts, and training goes on."""
        batches = double_batches()
        batches[2]["forget"]["inputs"][0, 0] = 0.0
        case = Case(NGDiff(), batches=batches, model=Kinked())
        outcome = self.run(case)
        assert [report.skipped for report in outcome.reports] == [
            "non-finite gradient" if r == 2 else None for r in range(ROUNDS)
        ]
        kept = batches[:2] + batches[3:]
        without = self.run(Case(NGDiff(), batches=kept, model=Kinked()))
        _assert_close(outcome.parameters, without.parameters, "a skipped round")


# ------------------------------------------------------------------------------------------ oracle


def naive_rounds(case: Case) -> list[Tensor]:
    """Return the parameters after the case's rounds by plain autograd on whole batches.

    It knows nothing of hosts: per-sample losses are averaged with ``mean``, the two gradients are
    flattened, combined out of place, and handed to the optimizer.
    """
    parameters = list(case.model.parameters())
    optimizer = case.optimizer(parameters)
    sign = {"retain": 1.0, "forget": -1.0}
    model: Any = case.model
    names = [name for name, _ in case.model.named_parameters()]
    for round_, batch in enumerate(case.batches):
        losses = {side: sign[side] * model.losses(batch[side]).mean() for side in SIDES}
        found = {side: list(torch.autograd.grad(losses[side], parameters)) for side in SIDES}
        case.strategy.round = round_
        detached = {side: loss.detach() for side, loss in losses.items()}
        for parameter, direction in zip(
            parameters, _naive_direction(case, names, found, detached), strict=True
        ):
            parameter.grad = direction
        scheduled = optimizer.param_groups[0]["lr"]
        optimizer.param_groups[0]["lr"] = scheduled * case.scale(round_)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = scheduled
    return [parameter.detach() for parameter in parameters]


def _naive_direction(
    case: Case, names: list[str], found: dict[Side, list[Tensor]], losses: Losses
) -> list[Tensor]:
    """Return the round's direction by the strategy's own weights, and let the strategy learn from the round."""
    g_r, g_f, strategy = found["retain"], found["forget"], case.strategy
    if isinstance(strategy, GramStrategy):
        given = strategy.weights(gram_matrix(g_r, g_f), losses)
        chosen = [i for i, name in enumerate(names) if re.search(strategy.watched or "", name)]
        strategy.learn(gram_matrix([g_r[i] for i in chosen], [g_f[i] for i in chosen]), losses)
        if type(strategy).combine is not GramStrategy.combine:
            return strategy.combine(g_r, g_f, given)
    else:
        assert isinstance(strategy, LossStrategy)
        given = strategy.weights(losses)
        strategy.learn(losses)
    retain, forget = given.retain.item(), given.forget.item()
    return [retain * a + forget * b for a, b in zip(g_r, g_f, strict=True)]


# ------------------------------------------------------------------------------------------- parts


class _Untouchable:
    """A batch that must not be used."""

    def __getitem__(self, key: str) -> Any:
        raise AssertionError(f"the batch of the other side was used ({key!r})")


class Kinked(ToyClassifier):
    """Add ``sqrt(x_0**2 + w**2)`` where ``x_0 = 0``: at w = 0 finite, with a gradient of 0/0 in w."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__(seed=3, dtype=dtype)
        self.w = nn.Parameter(torch.zeros(1, dtype=dtype))

    def losses(self, batch: LabelledBatch) -> Tensor:
        """Return the losses, [batch]; where ``x_0`` is exactly 0 their gradient is NaN."""
        x = batch["inputs"][:, 0]
        return super().losses(batch) + (x.square() + self.w.square()).sqrt() * (x == 0).to(x.dtype)


class _AliasProbe(Strategy):
    """Take each side's gradients in turn and see that the first stay what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Compare storages and values before and after the second backward pass."""
        loss_r, g_r = host.gradients("retain", batch)
        before = [g.clone() for g in g_r]
        loss_f, g_f = host.gradients("forget", batch)
        storages = {g.untyped_storage().data_ptr() for g in [*g_r, *g_f]}
        assert len(storages) == len(g_r) + len(g_f), "two gradients share memory"
        assert all(torch.equal(a, b) for a, b in zip(g_r, before, strict=True)), "a gradient was overwritten"
        again_loss, again = host.gradients("retain", batch)
        assert all(torch.equal(a, b) for a, b in zip(again, before, strict=True)), (
            "a gradient was accumulated"
        )
        assert again_loss.item() == loss_r.item()
        assert not loss_r.requires_grad
        host.apply([a + b for a, b in zip(g_r, g_f, strict=True)])
        self.rounds += 1
        return RoundReport({"retain": loss_r, "forget": loss_f})


def _in_parts(batch: ForgetRetainBatch) -> ForgetRetainBatch:
    """Cut each side into micro-batches of one, two and the remaining samples."""

    def cut(whole: LabelledBatch) -> list[LabelledBatch]:
        inputs, targets, index = whole["inputs"], whole["targets"], whole["index"]
        pieces = (slice(0, 1), slice(1, 3), slice(3, None))
        return [{"inputs": inputs[p], "targets": targets[p], "index": index[p]} for p in pieces]

    return {"forget": cut(batch["forget"]), "retain": cut(batch["retain"])}


def _refusal(run: Callable[[Case], Any], case: Case) -> str:
    """Return the message with which a diverging run stops."""
    try:
        run(case)
    except NonFiniteError as error:
        return str(error)
    raise AssertionError("a loss that is NaN went unnoticed")


def _assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], what: str) -> None:
    worst = max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))
    assert worst <= 1e-12, f"{what}: parameters differ by {worst:.3g}, allowed 1e-12"
