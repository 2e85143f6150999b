"""Figures: functions that take and return an Axes, in one palette that says what is better."""

from unlearnkit.plots.confusion_map import confusion_map
from unlearnkit.plots.curves import curves
from unlearnkit.plots.figure import file_axes, file_grid, notebook_axes, render, save
from unlearnkit.plots.over_rounds import over_rounds
from unlearnkit.plots.palette import ROLES, Role, Style, figure_style, method_styles
from unlearnkit.plots.parabola import Fit, parabola
from unlearnkit.plots.profiles import PROFILES, Profile, profile
from unlearnkit.plots.quantities import QUANTITIES, Better, Quantity, quantity
from unlearnkit.plots.sample_grid import sample_grid
from unlearnkit.plots.tradeoff import tradeoff

__all__ = [
    "PROFILES",
    "QUANTITIES",
    "ROLES",
    "Better",
    "Fit",
    "Profile",
    "Quantity",
    "Role",
    "Style",
    "confusion_map",
    "curves",
    "figure_style",
    "file_axes",
    "file_grid",
    "method_styles",
    "notebook_axes",
    "over_rounds",
    "parabola",
    "profile",
    "quantity",
    "render",
    "sample_grid",
    "save",
    "tradeoff",
]
