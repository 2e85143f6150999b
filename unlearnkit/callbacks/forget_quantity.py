"""What ForgetTarget can monitor, where it goes while a model forgets, and what it is to reach."""

from __future__ import annotations

import math
from typing import Literal

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.evaluators import read

Direction = Literal["falls", "rises"]
"""Where a quantity goes while a model forgets."""

NLL = "nll"
"""The monitor that the callback measures itself."""

UNSEEN = "unseen"
"""The target that is measured itself, on data that the model was never trained on."""

_SUMMARY_OF_NLL = "forget_loss"
_RISE = ("nll", "loss", "truth_ratio", "quality")
_FALL = ("log_prob", "rouge", "probability", "fact", "verbmem")


def fixed_target(target: float | str, monitor: str) -> float:
    """Return a target that does not change: the number itself, or that of an evaluation's summary.

    Raises:
        ConfigurationError: It is not finite.
        UnknownNameError: The summary does not have the quantity.
        ArtifactError: The path leads to no evaluation.

    >>> fixed_target(0.4, "eval/forget_rouge")
    0.4
    """
    if isinstance(target, str):
        summary = read(target)["summary"]
        name = _SUMMARY_OF_NLL if monitor == NLL else monitor.removeprefix("eval/")
        if name not in summary:
            raise UnknownNameError.among("monitor", monitor, [f"eval/{known}" for known in summary])
        found = summary[name]
    else:
        found = target
    if found is None or not math.isfinite(found):
        raise ConfigurationError(
            f"`target` must be a finite number, the path of an evaluation that has one, or 'unseen'. Found {found} "
            f"for {monitor!r} in {target!r}. Use e.g. target=0.4."
        )
    return float(found)


def settled_direction(monitor: str) -> Direction:
    """Return where a quantity goes while a model forgets.

    Raises:
        ConfigurationError: It is not known.

    >>> settled_direction("nll"), settled_direction("eval/forget_probability")
    ('rises', 'falls')
    """
    forget = monitor == NLL or monitor.removeprefix("eval/").startswith(("forget_", "verbmem"))
    words = monitor.removeprefix("eval/").removeprefix("forget_")
    if forget and words.startswith(_RISE):
        return "rises"
    if forget and words.startswith(_FALL):
        return "falls"
    raise ConfigurationError(
        f"`direction` must be given for a monitor that is not known. Found None for {monitor!r}. "
        "Say direction='rises' or direction='falls', where the quantity goes while the model forgets."
    )
