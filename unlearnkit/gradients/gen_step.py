"""GeN in plain torch: let the retain loss's parabola along a whole round set the learning rate."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from unlearnkit.batches import ForgetRetainBatch
from unlearnkit.errors import ConfigurationError, UnknownNameError, UnlearnKitWarning
from unlearnkit.gradients.parabola import KAPPA, Parabola, Preset, fit_parabola, multiplier, noise_floor
from unlearnkit.gradients.probe import Displacement
from unlearnkit.gradients.probe_loss import LossAlong, RetainLoss, plain_loss
from unlearnkit.gradients.probe_search import FACTOR, TRUST, search_reach
from unlearnkit.host import PlainHost

Hold = Literal["auto", "rate", "length"]
"""What stays between two fits: the learning rate, or the length of the displacement."""

OWN_LOSS = KAPPA * torch.finfo(torch.float32).eps / 4
"""Largest relative difference at which a round's own retain loss serves as L(0): two of it, doubled by
the second difference, stay below the noise floor."""

OWN_LOSS_CHECKS = 2
"""Fits that check it: a strategy of several steps may pass once, while its steps are tiny."""

PATIENCE = 5
"""Fits refused for their slope from the start, after which a warning says that the loss only rises."""


class RateHost(Protocol):
    """The part of a host that GeN uses."""

    round: int
    lr_scale: float

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        ...


@dataclass(frozen=True)
class Fit:
    """What one fit found.

    Attributes:
        parabola: In units of the round's own displacement u.
        multiple: The multiple of u that the round ended with.
        norm: ``|u|``, before it was multiplied.
        forwards: Forward passes the fit took.
    """

    parabola: Parabola
    multiple: float
    norm: float
    forwards: int


class GeNCore:
    """Fit ``L_R(theta_before + r u)`` along a round's displacement u and go to its minimum.

    Paper 001, section 3.3, algorithm 1 and appendix B. u is whatever the round did: Adam's direction,
    momentum, weight decay and parameter groups are in it, and the optimizer's state is not touched.
    The accepted multiple of u replaces the round's own step, and ``host.lr_scale`` takes it over for
    the rounds to come: learning rate = scheduled rate x scale. A refused fit changes neither (remark
    3.1), unless the safeguard saw the loss soar at the round's own step and found a shorter one at which
    it does not. Between fits either the rate is held, or the length of the displacement, which then
    follows no schedule.

    Args:
        every: Rounds between fits; round 0 is always fitted.
        preset: ``paper``: the round's own retain batch, r* at once. ``autogen``: a fresh batch,
            r* clipped to [1/2, 2], a tenth of the way.
        probe: ``step`` probes at the round's own displacement, a number at a fixed length ``|xi u|``,
            which makes the result independent of the start rate.
        hold: ``rate``, ``length``, or ``auto``: the rate where the strategy bounds the direction's
            length (``normalized``), else the length, because gradients may grow between fits.
        safeguard: Search the probe's reach in the first round, and where a probe is not finite or the
            minimiser lies far from the probes; after a fit below the noise, probe further next time.

    Raises:
        ConfigurationError: ``every`` is below 1, or ``probe`` is not above 0.
        UnknownNameError: ``preset``, ``hold`` or ``probe`` is not one of the known names.

    >>> from unlearnkit.objectives import AscentNLL, NLL
    >>> from unlearnkit.strategies import NGDiff
    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=1e-5)
    >>> host, strategy = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=sgd), NGDiff()
    >>> gen = GeNCore(every=10)
    >>> report = gen.step(strategy, host, batch)
    >>> host.lr_scale > 1000
    True
    """

    def __init__(
        self,
        every: int = 10,
        preset: Preset = "paper",
        probe: Literal["step"] | float = "step",
        hold: Hold = "auto",
        safeguard: bool = True,
    ) -> None:
        if every < 1:
            raise ConfigurationError(f"`every` must be 1 or above, in rounds. Found {every}. Use every=10.")
        if preset not in get_args(Preset):
            raise UnknownNameError.among("preset", preset, get_args(Preset))
        if hold not in get_args(Hold):
            raise UnknownNameError.among("hold", hold, get_args(Hold))
        if isinstance(probe, str) and probe != "step":
            raise UnknownNameError.among("probe", probe, ["step"])
        if not isinstance(probe, str) and not 0.0 < probe < math.inf:
            raise ConfigurationError(
                f"`probe` must be 'step' or a length above 0. Found {probe}. Use e.g. probe=0.05."
            )
        self.every = every
        self.preset: Preset = preset
        self.probe = probe
        self.hold: Hold = hold
        self.safeguard = safeguard
        self.scale = 1.0
        self.first = True
        self.widened = 1.0
        self.held: float | None = None
        self.fits = 0
        self.refusals: dict[str, int] = {}
        self.own_loss = True
        self.own_loss_checks = 0
        self._holds_length = None if hold == "auto" else hold == "length"
        self._moved: Displacement | None = None
        self._due = False

    def attach(self, strategy: Any) -> None:
        """Check that the retain loss can fall along the strategy's direction, and settle ``hold``.

        Raises:
            ConfigurationError: The strategy has no retain side.
        """
        if "retain" not in getattr(strategy, "sides", ("retain",)):
            raise ConfigurationError(
                "`strategy` must have a retain side: GeN minimises the retain loss along the update. Found "
                f"{type(strategy).__name__}, pure ascent, along which that loss only rises. "
                "Use a strategy with both sides (NGDiff, FixedWeights ...), or train without GeN."
            )
        if self.hold == "auto":
            self._holds_length = not getattr(strategy, "normalized", False)

    def begin(self, host: RateHost, model: nn.Module) -> None:
        """Start a round: keep the parameters, where this round is fitted or its length is held."""
        if self._holds_length is None:
            raise ConfigurationError(
                "`hold='auto'` must know the strategy before the first round. Found none attached. "
                "Call attach(strategy) first, or say hold='rate' or hold='length'."
            )
        self._due = self.first or host.round % self.every == 0
        self._moved = Displacement(model, host.rank_sum) if self._due or self._holds_length else None

    def end(self, host: RateHost, loss: RetainLoss, own: Tensor | None = None) -> Fit | None:
        """End a round: fit where it is due, write the accepted point, set ``host.lr_scale``.

        Args:
            host: Gets the scale.
            loss: Evaluates the retain loss of the fit's batch in eval mode.
            own: The retain loss the round itself computed before its step, on the same batch, 0-d.

        Returns:
            The fit, or None where none was due or nothing moved.
        """
        moved, self._moved = self._moved, None
        if moved is None:
            return None
        moved.measure()
        try:
            fit = self._settle(moved, loss, own)
        except BaseException:
            moved.restore()
            raise
        finally:
            moved.release()
        host.lr_scale = self.scale
        return fit

    def step(
        self, strategy: Any, host: PlainHost, batch: ForgetRetainBatch, fresh: ForgetRetainBatch | None = None
    ) -> Any:
        """Make one round of a strategy in plain torch, with GeN around it.

        Args:
            strategy: Any strategy with a retain side.
            host: The plain host.
            batch: The round's batch.
            fresh: Another batch for the fit, as preset ``autogen`` wants; None takes the round's own.

        Returns:
            The strategy's report.
        """
        self.attach(strategy)
        self.begin(host, host.model)
        report = strategy.step(host, batch)
        own = report.losses.get("retain") if fresh is None else None
        self.end(host, lambda: plain_loss(host, batch if fresh is None else fresh), own)
        return report

    def _settle(self, moved: Displacement, loss: RetainLoss, own: Tensor | None) -> Fit | None:
        """Move to the accepted multiple of the displacement."""
        if moved.norm == 0.0 or not math.isfinite(moved.norm):
            return None  # a skipped round teaches nothing; a broken one is the next round's error
        step = self.held / moved.norm if self._holds_length and self.held is not None else 1.0
        if not self._due:
            moved.write(step)
            return None
        probes = LossAlong(moved, loss)
        centre = self._centre(probes, own)
        noise = noise_floor(centre, moved.lowest_precision, probes.count)
        fit, multiple, accepted = self._fit(probes, centre, noise, step)
        moved.write(multiple)
        self._book(fit, multiple, accepted, moved.norm)
        return Fit(fit, multiple, moved.norm, probes.forwards)

    def _centre(self, probes: LossAlong, own: Tensor | None) -> float:
        """Return L(0): the round's own loss, once it has proved to be the same number, else a forward."""
        if own is not None and self.own_loss and self.own_loss_checks >= OWN_LOSS_CHECKS:
            return float(own)
        centre = probes(0.0)
        if own is not None and self.own_loss:
            # Dropout, batch statistics or mixed precision make the round's own loss another function.
            self.own_loss = abs(float(own) - centre) <= OWN_LOSS * abs(centre)
            self.own_loss_checks += 1
        return centre

    def _fit(
        self, probes: LossAlong, centre: float, noise: float, step: float
    ) -> tuple[Parabola, float, bool]:
        """Return the fit, the multiple of u to take, and whether scale and length follow it."""
        reach = self.widened * (
            step if isinstance(self.probe, str) else float(self.probe) / probes.moved.norm
        )
        if not (self.first and self.safeguard):
            ahead = probes(reach)  # first: at the step's own reach the model is there already
            fit = fit_parabola(probes(-reach), centre, ahead, reach=reach, noise=noise)
            if self.safeguard:
                # Probing too near would go on for ever; the next fit reaches further, at no extra cost.
                self.widened = self.widened * FACTOR if fit.refused == "noise" else 1.0
            if not (self.safeguard and self._doubtful(fit)):
                if fit.refused is not None:
                    return fit, step, False
                return fit, step * multiplier(fit.minimiser / step, self.preset), True
        found = search_reach(probes, centre, reach=reach, noise=noise, step=step)
        return found.parabola, found.multiple, found.parabola.refused is None or found.multiple != step

    def _doubtful(self, fit: Parabola) -> bool:
        """Whether probes elsewhere must confirm a fit before it moves the rate at once."""
        if fit.refused is not None:
            return fit.refused == "not finite"
        inside = 1.0 / TRUST <= fit.minimiser / fit.reach <= TRUST
        return self.preset == "paper" and not inside

    def _book(self, fit: Parabola, multiple: float, accepted: bool, norm: float) -> None:
        """Keep the outcome for the rounds to come."""
        self.first = False
        self.fits += 1
        if accepted:
            self.scale *= multiple
            self.held = multiple * norm
        if fit.refused is not None:
            self.refusals[fit.refused] = self.refusals.get(fit.refused, 0) + 1
        if self.fits == self.refusals.get("slope", 0) == PATIENCE:
            warnings.warn(
                f"GeN refused its first {PATIENCE} fits: the retain loss rises along the update, so the learning "
                "rate stays at its start. Give the retain side more weight, or train without GeN.",
                UnlearnKitWarning,
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, plain numbers only."""
        return {name: getattr(self, name) for name in _STATE} | {"refusals": dict(self.refusals)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        self.refusals = dict(state["refusals"])


_STATE = ("scale", "first", "widened", "held", "fits", "own_loss", "own_loss_checks")
