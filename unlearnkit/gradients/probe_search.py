"""The safeguard: find how far from the model a parabola describes the retain loss.

A start rate that is far off makes GeN's first probe useless: too near, and the loss differences are
rounding; too far, and a parabola still passes through three points of a loss that is none. The
search moves the probes by factors of four until the minimiser lies within reach of the probes and
the loss measured there is what the parabola promised. Where it ends does not depend on the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from unlearnkit.gradients.parabola import Parabola, fit_parabola

ATTEMPTS = 16
"""Fits at most: 4^16 spans nine decades."""

FACTOR = 4.0
"""Factor between attempts, halved (in the logarithm) each time the search turns round."""

TRUST = 4.0
"""A minimiser further than this many reaches away is an extrapolation, and is not believed."""

STRAIGHT = 0.1
"""Share of the first difference below which a second difference leaves a line."""

SHARE = 0.5
"""Share of the promised fall of the loss that must be found."""


@dataclass(frozen=True)
class Found:
    """Where the search ended.

    Attributes:
        parabola: The fit that was used, else the first one that says why there is none.
        multiple: Multiple of the displacement to take.
        attempts: Number of fits made.
    """

    parabola: Parabola
    multiple: float
    attempts: int


def search_reach(
    loss_at: Callable[[float], float], centre: float, *, reach: float, noise: float, step: float = 1.0
) -> Found:
    """Search the reach at which the parabola holds, and take its minimiser.

    Args:
        loss_at: Returns L(r) at ``theta + r u``, nats.
        centre: L(0), nats.
        reach: First distance of the probes, in units of u.
        noise: Differences of losses up to this size are rounding, nats.
        step: Multiple of u to take if no parabola is found and the loss does not soar there.

    Returns:
        The fit and the multiple of u to take. Without a usable fit, the largest multiple up to
        ``step`` at which the loss at most doubled.

    >>> found = search_reach(lambda r: (r - 3.0) ** 2 + 1.0, 10.0, reach=1e-4, noise=1e-4)
    >>> round(found.multiple, 6), found.parabola.refused
    (3.0, None)
    """
    factor, direction = FACTOR, 0
    usable: Parabola | None = None
    telling: Parabola | None = None
    harmless = [0.0]
    for attempt in range(1, ATTEMPTS + 1):
        plus = loss_at(reach)
        fit = fit_parabola(loss_at(-reach), centre, plus, reach=reach, noise=noise)
        if plus <= centre + abs(centre) and reach <= step:
            harmless.append(reach)
        if fit.refused is None:
            if 1.0 / TRUST <= fit.minimiser / reach <= TRUST and _keeps_promise(loss_at, fit, noise):
                return Found(fit, fit.minimiser, attempt)
            if fit.minimiser > TRUST * reach:
                usable = fit
        elif telling is None and fit.refused != "noise":
            telling = fit
        if fit.refused == "slope" and abs(fit.curvature) * reach < STRAIGHT * abs(fit.slope):
            # All but straight here, and rising: nearer it does, too. On the line the loss doubles at:
            harmless.append(min(reach, step, abs(centre) / -fit.slope))
            break
        # With h <= 0 < G the loss was measured to fall all the way: its minimum, if any, lies further on.
        further = fit.refused in ("noise", "curvature") or fit.minimiser > TRUST * reach
        turned = direction != 0 and further != (direction > 0)
        direction = 1 if further else -1
        if turned:
            factor = math.sqrt(factor)
            if factor < 1.2:
                break
        reach = reach * factor if further else reach / factor
    if usable is not None:
        # The loss stops being a parabola before its minimum: go as far as it was seen to be one.
        multiple = min(usable.minimiser, TRUST * usable.reach)
        for candidate in (multiple, usable.reach):
            if loss_at(candidate) <= centre + noise:
                return Found(usable, candidate, attempt)
    if fit.refused is None:
        fit = replace(fit, refused="shape")
    return Found(telling or fit, max(harmless) or min(reach, step), attempt)


def _keeps_promise(loss_at: Callable[[float], float], fit: Parabola, noise: float) -> bool:
    """Measure the loss at the minimiser and compare its fall with the parabola's."""
    promised = fit.centre - fit.predict(fit.minimiser)
    return fit.centre - loss_at(fit.minimiser) >= SHARE * promised - noise
