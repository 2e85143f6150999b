"""Values over rounds: losses, metrics, the learning rate's scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import ROLES, figure_style, method_styles
from unlearnkit.plots.paths import number
from unlearnkit.plots.quantities import Better, axis_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(
    rounds: Sequence[float],
    values: Mapping[str, Sequence[float | None]],
    ax: Axes | None = None,
    ylabel: str = "",
    better: Better | None = None,
) -> Axes:
    """Draw one line a name; a name that is a role (target, unlearned, retrained) has the role's colour.

    A value that is missing or not finite leaves a gap and is counted in the legend.

    Args:
        rounds: The round of each value.
        values: By name, one value a round.
        ax: Axes to draw on; None makes a figure 6 inches wide.
        ylabel: What the values are, with their unit.
        better: Which way is better; the label says so.

    Returns:
        The Axes.

    Raises:
        ConfigurationError: A line has not as many values as there are rounds.

    >>> axes = curves([0, 10], {"retain": [0.1, 0.2]}, ylabel="loss", better="down")
    >>> axes.get_ylabel()
    'loss (← lower is better)'
    """
    with figure_style():
        axes = notebook_axes(3.2) if ax is None else ax
        styles = method_styles(name for name in values if name not in ROLES)
        styles.update({str(role): style for role, style in ROLES.items()})
        for name, line in values.items():
            if len(line) != len(rounds):
                raise ConfigurationError(
                    f"`values[{name!r}]` must have one value a round. "
                    f"Found {len(line)} values for {len(rounds)} rounds. Use None where a value is missing."
                )
            heights = [number(value) for value in line]
            gaps = sum(map(math.isnan, heights))
            (drawn,) = axes.plot(
                rounds,
                heights,
                color=styles[name].color,
                linestyle=styles[name].line,
                marker=styles[name].marker,
                markersize=9 if styles[name].marker == "*" else 5,
                markeredgecolor="white",
                label=f"{name} ({gaps} of {len(heights)} not finite)" if gaps else name,
            )
            drawn.set_gid(f"curve:{name}")
        axes.set_xlabel("round")
        axes.set_ylabel(axis_label(ylabel, better))
        if values:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4)
    return axes
