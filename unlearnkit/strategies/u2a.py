"""U2A: let an inner strategy unlearn, and choose and weigh what it unlearns by how much that helps an aim."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError, DataError, MismatchError, NonFiniteError
from unlearnkit.gradients.inner_problem import InnerProblem
from unlearnkit.host import Host, eval_mode
from unlearnkit.sharding import sharded_modules
from unlearnkit.strategies.base import RoundReport, Strategy
from unlearnkit.strategies.starting_point import StartingPoint, of_first_rank


class Alignment(Protocol):
    """What U2A asks of J, the aim that shall grow; see ``unlearnkit.alignment``.

    The model is in eval mode. ``at(round)`` and ``bind(datamodule)`` are called before, where it has them.
    """

    def value(self, model: Any) -> float:
        """Return J."""
        ...

    def gradient(self, model: Any) -> list[Tensor]:
        """Return the direction in which J grows, one tensor per trainable parameter."""
        ...


class Selector(Protocol):
    """What U2A asks of the rule that makes weights of gains; see ``unlearnkit.alignment.GainSelector``.

    It also says ``needs_gains``, and has ``gains``, which forms them.
    """

    def first(self, rows: Tensor, gains: Tensor) -> Tensor:
        """Return the weights of the first round, [n], 0 for what is not selected."""
        ...

    def grow(self, rows: Tensor, gains: Tensor, weights: Tensor) -> Tensor:
        """Return the next round's weights, [n]."""
        ...

    def penalty(self, weights: Tensor) -> float:
        """Return what g adds to -J."""
        ...


class U2A(Strategy):
    """Choose and weigh what is unlearned by its marginal gain on an aim J (paper 004, algorithm 1).

    An *outer round* is an epoch. At its start ``begin_epoch`` looks at where the last weights led (J there, and the
    gains of all candidates there), makes new weights, and returns to the target ``theta*`` with an empty optimizer;
    then the inner strategy makes the epoch's rounds with the weights fixed. The number of an epoch's rounds is the
    number of inner steps. After ``rounds`` outer rounds, or when g no longer falls by ``delta``, the weights of
    lowest ``g = -J + beta Omega(w)`` are taken for the last ``final_epochs``, from ``theta*`` on, and the run ends.

    The host weighs the forget side's losses. A batch's loss is divided by its own samples' weight, so batches that
    are small beside the candidates give each sample of a light batch more than its share; whole-set batches, or
    Adam, are nearer to the paper's sum. A batch without a selected sample forgets nothing.

    Args:
        inner: Makes the rounds; ``ForgetOnly`` for the paper's GA and NPO, ``FixedWeights`` for GradDiff.
        selector: Makes weights of gains: ``unlearnkit.alignment.GainFilter`` (gain above 0, entropy weights) for
            users, ``GrowingSelector`` for the paper's algorithm, ``GivenSelection`` for weights made before,
            ``RandomSelector`` and ``RewardSelector`` to compare with.
        alignment: J; None where the selector needs no gains.
        rounds: T, most outer rounds; 1 selects once, at the target.
        delta: Least decrease of g with which the search goes on, in J's unit.
        final_epochs: Epochs with the best weights, at the end.
        warm_start: Go on from where the last weights led instead of returning to the target: cheaper and not the
            paper's problem, whose distance is from the target. The final epochs start from the target in any case.

    Raises:
        ConfigurationError: A number is out of its range, the inner strategy has no forget side, or the selector
            needs gains and there is no J.

    >>> from unlearnkit.strategies import ForgetOnly
    >>> U2A(ForgetOnly(), selector=None, alignment=None)
    Traceback (most recent call last):
        ...
    unlearnkit.errors.ConfigurationError: `selector` must make weights of gains. Found None. ...
    """

    kind = "reweighting"
    passes = "as inner"
    memory = "the target"
    state = "weights"

    def __init__(
        self,
        inner: Strategy,
        selector: Selector | None = None,
        alignment: Alignment | None = None,
        rounds: int = 10,
        delta: float = 0.01,
        final_epochs: int = 1,
        warm_start: bool = False,
    ) -> None:
        super().__init__()
        if selector is None:
            raise ConfigurationError(
                "`selector` must make weights of gains. Found None. Use unlearnkit.alignment.GainFilter(), or "
                "GrowingSelector(initial=M, added=N), the paper's."
            )
        if "forget" not in inner.sides:
            raise ConfigurationError(
                f"`inner` must have a forget side, whose samples are weighed. Found {type(inner).__name__}. Use "
                "ForgetOnly or FixedWeights."
            )
        for name, value in {"rounds": rounds, "final_epochs": final_epochs}.items():
            if value < 1:
                raise ConfigurationError(f"`{name}` must be 1 or above. Found {value}. Use {name}=1.")
        if not delta > -math.inf or math.isnan(delta):
            raise ConfigurationError(f"`delta` must be a number. Found {delta}. Use delta=0.01.")
        if getattr(selector, "needs_gains", True) and alignment is None:
            raise ConfigurationError(
                f"`alignment` must be given, the J whose growth is a gain, because {type(selector).__name__} needs "
                "gains. Found None. Use e.g. unlearnkit.alignment.PolicyGradientJ, or GivenSelection."
            )
        self.inner = inner
        self.selector: Any = selector
        self.alignment: Any = alignment
        self.rounds = rounds
        self.delta = delta
        self.final_epochs = final_epochs
        self.warm_start = warm_start
        self.sides = inner.sides  # type: ignore[misc]
        self.normalized = inner.normalized  # type: ignore[misc]
        self.by_side = inner.by_side  # type: ignore[misc]
        self.outer = 0
        self.final = 0
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.weights = torch.zeros(0, dtype=torch.float64)
        self.gains: Tensor | None = None
        self.best: tuple[float, Tensor, Tensor | None] | None = None
        self.history: list[dict[str, Any]] = []
        self._start: StartingPoint | None = None
        self._selection: Any = None

    def turns(self, round: int, pass_rounds: dict[Side, int]) -> dict[Side, int] | None:
        """Return what the inner strategy says."""
        return self.inner.turns(round, pass_rounds)

    @property
    def finished(self) -> bool:
        """Whether the last final epoch has begun."""
        return self.final >= self.final_epochs

    @property
    def selection(self) -> Any:
        """The weights being trained with, an ``unlearnkit.alignment.Selection``; None before the first round."""
        if self._selection is None and len(self.rows):
            self._selection = self.selector.selection(self.rows, self.weights, self.gains, list(self.history))
        return self._selection

    def remember(self, model: nn.Module) -> None:
        """Keep the target, which rounds start from; only the first call counts.

        Args:
            model: The target, before the first round.
        """
        if self._start is None:
            self._start = StartingPoint(model)

    def bind(self, datamodule: Any) -> None:
        """Let J and the selector take what they need of the data (prompts, tokenizer, pairs, rewards)."""
        for one in (self.alignment, self.selector):
            if hasattr(one, "bind"):
                one.bind(datamodule)

    @property
    def readings(self) -> dict[str, float]:
        """What an outer round has to report: how many samples, worth how many, and where the last weights led."""
        if not len(self.weights):
            return {}
        last = self.history[-1] if self.history else {}
        found = {name: float(last[name]) for name in ("g", "J", "distance") if name in last}
        return found | {"size": float((self.weights > 0).sum()), "ess": _ess(self.weights)}

    def begin_epoch(self, host: Host, candidates: Iterable[Any]) -> None:
        """Make an outer round's weights, from where the last ones led, and return to the target.

        Args:
            host: Offers model, objective and reference.
            candidates: Goes once through the forget side, in the same order on every rank and each time.

        Raises:
            ConfigurationError: The forget objective is made for the retain side, its distance has another lambda, or
                the model is sharded.
            DataError: There is no candidate, one has no ``index`` or no response, or two have the same row.
            NonFiniteError: J or a gain is NaN or infinite.
        """
        self.remember(host.model)
        problem = self._problem(host, candidates)
        if self.final:
            self.final += 1
        elif self.outer == 0:
            self._first(host, problem)
        else:
            self._next(host, problem)
        self._selection = None
        host.sample_weights = self.selection

    def update(self, host: Host, batch: ForgetRetainBatch) -> RoundReport:
        """Let the inner strategy make the round, the forget side's samples weighed.

        Raises:
            ConfigurationError: No weights were made yet.
        """
        if self.selection is None:
            raise ConfigurationError(
                "`begin_epoch` must be called before the first round, with the candidates. Found no weights. Run "
                "U2A in an UnlearningModule, or call strategy.begin_epoch(host, candidates)."
            )
        host.sample_weights = self.selection
        return self.inner.update(host, batch)

    def _first(self, host: Host, problem: InnerProblem) -> None:
        """Select at the target, where no sample has weight yet."""
        rows = problem.rows
        self._require_responses(problem)
        if self.selector.needs_gains:
            self._bind_round(0)
            assert self._start is not None
            self._record(host, 0.0, self._start)
            self.gains = self._gains(host, problem, None)
        self.weights = self.selector.first(rows, torch.zeros(0) if self.gains is None else self.gains)
        self.rows = rows
        if self.selector.needs_gains:
            self.selector.gains.warn_of_curvature(problem, self.weights)
        self.outer = 1
        self.final = int(self.rounds == 1 or not self.selector.needs_gains)

    def _next(self, host: Host, problem: InnerProblem) -> None:
        """Judge the weights that were trained with, and make the next ones, or take the best for the end."""
        if not torch.equal(problem.rows, self.rows):
            raise MismatchError(
                f"`candidates` must be the same {len(self.rows)} rows in every outer round. Found {len(problem.rows)} "
                "rows, or others. Do not change the forget side within a run."
            )
        self._bind_round(self.outer)
        start, before = self._start, self.history[-1]
        assert start is not None
        g = self._record(host, self.selector.penalty(self.weights), start)
        fell = before["g"] - g if before["round"] else math.inf
        if self.best is None or g < self.best[0]:
            self.best = (g, self.weights, self.gains)
        if self.outer >= self.rounds or fell <= self.delta:
            _, self.weights, self.gains = self.best
            self.final = 1
        else:
            self.gains = self._gains(host, problem, self.weights)
            self.weights = self.selector.grow(self.rows, self.gains, self.weights)
            self.outer += 1
        if self.final or not self.warm_start:
            start.restore(host)

    def _record(self, host: Host, penalty: float, start: StartingPoint) -> float:
        """Note where the weights led, and return g there."""
        aim = self._value(host)
        self.history.append(
            {
                "round": self.outer,
                "g": penalty - aim,
                "J": aim,
                "penalty": penalty,
                "size": int((self.weights > 0).sum()),
                "ess": _ess(self.weights),
                "largest": float(self.weights.max()) if len(self.weights) else 0.0,
                "distance": start.distance(host.parameters),
            }
        )
        return penalty - aim

    def _problem(self, host: Host, candidates: Iterable[Any]) -> InnerProblem:
        if sharded_modules(host.model):
            raise ConfigurationError(
                "`model` must be whole on every rank under U2A, which moves it to score samples and returns it to the "
                "target. Found one that FSDP2 shards. Use DDP."
            )
        objective = host.objective("forget")
        if getattr(objective, "role", None) != "forget":
            raise ConfigurationError(
                "`forget` must be an objective made to forget, such as AscentNLL or NPO: U2A takes what is *minimised* "
                "for the forget side, for gradient ascent the log-likelihood. Found "
                f"{type(objective).__name__}, made for the retain side: with the negative log-likelihood the sign of "
                "every gain is wrong, and the most helpful samples would be chosen last. Use AscentNLL."
            )
        alpha = getattr(objective, "distance", None)
        if alpha is not None and self.selector.needs_gains and self.selector.gains.lam != alpha:
            lam = self.selector.gains.lam
            raise ConfigurationError(
                f"`alpha` of the forget objective must be the lambda of the gains, {lam}. Found {alpha}. Set "
                f"alpha={lam}, or lam={alpha} in the selector's gains."
            )

        def losses(batch: Any) -> Tensor:
            found: Tensor = objective(host.model, batch, host.reference).sums
            return found

        return InnerProblem(host.model, losses, candidates, host.place, host.rank_sum)

    def _require_responses(self, problem: InnerProblem) -> None:
        model: Any = problem.model
        for batch in problem.batches:
            empty = model.counts(batch) == 0
            if bool(empty.any()):
                raise DataError(
                    "`candidates` must have a response each, whose tokens are scored. Found none in row "
                    f"{int(batch['index'][empty][0])}. Leave such rows out, or raise max_length where it was cut away."
                )

    def _bind_round(self, number: int) -> None:
        if hasattr(self.alignment, "at"):
            self.alignment.at(number)

    def _gains(self, host: Host, problem: InnerProblem, weights: Tensor | None) -> Tensor:
        with eval_mode(host.model):
            gradient = [of_first_rank(host, part) for part in self.alignment.gradient(host.model)]
        found: Tensor = self.selector.gains(problem, gradient, weights)
        return found

    def _value(self, host: Host) -> float:
        device = host.parameters[0].device
        with eval_mode(host.model):
            own = torch.tensor(float(self.alignment.value(host.model)), dtype=torch.float64, device=device)
        value = float(of_first_rank(host, own))
        if not math.isfinite(value):
            raise NonFiniteError(
                f"`alignment` must have a finite value. Found {value} after outer round {self.outer}. Lower the "
                "learning rate, or take fewer inner rounds."
            )
        return value

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a resumed run needs: weights, where the search is, and which target it started from."""
        return {
            "outer": self.outer,
            "final": self.final,
            "rows": self.rows,
            "weights": self.weights,
            "gains": self.gains,
            "best": None if self.best is None else list(self.best),
            "history": [dict(record) for record in self.history],
            "target": None if self._start is None else self._start.digest,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over what ``get_extra_state`` returned.

        Raises:
            MismatchError: The run started from another target.
        """
        own = None if self._start is None else self._start.digest
        if own is not None and state["target"] is not None and own != state["target"]:
            raise MismatchError(
                f"`model` must be the target that the resumed run started from ({state['target']}). Found another one "
                f"({own}): outer rounds return to it. Name the same model or folder, with the same seed and dtype."
            )
        self.outer, self.final = state["outer"], state["final"]
        self.rows, self.weights, self.gains = (
            state["rows"].cpu(),
            state["weights"].cpu(),
            _cpu(state["gains"]),
        )
        best = state["best"]
        self.best = None if best is None else (best[0], best[1].cpu(), _cpu(best[2]))
        self.history = [dict(record) for record in state["history"]]
        self._selection = None

    def save(self, path: str | Path) -> None:
        """Write the weights being trained with as a file anyone can read.

        Raises:
            ConfigurationError: There are none yet.
        """
        if self.selection is None:
            raise ConfigurationError(
                "`begin_epoch` must be called before weights are saved. Found none. Make a round first."
            )
        self.selection.save(path)


def _ess(weights: Tensor) -> float:
    """Return how many samples of equal weight the weights are worth; 0 for none."""
    return float(1.0 / weights.square().sum()) if len(weights) else 0.0


def _cpu(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.cpu()
