"""Targeted forget efficacy and the overall score of paper 002's tables on TOFU and real people (DualOptim+).

UFE and MU of those tables are closer-look's forget efficacy and model capability. Direction of all: up.
"""

from __future__ import annotations

from unlearnkit.metrics.functional.utility import partial_utility


def targeted_forget_efficacy(token_entropy: float, refusal_entailment: float) -> float:
    """Return the harmonic mean of token entropy and the share of refused answers on the forget set (002's TFE). Up.

    For methods whose target is a refusal (IDK). A row is refused where its generation entails a refusal drawn for it.

    Args:
        token_entropy: Mean token entropy of the generations on the forget set.
        refusal_entailment: Share of forget rows whose generation entails their refusal.

    >>> targeted_forget_efficacy(1.0, 0.5), targeted_forget_efficacy(0.9, 0.0)
    (0.6666666666666666, 0.0)

    Raises:
        DataError: A number is negative.
        NonFiniteError: A number is NaN or infinite.
    """
    return partial_utility({"token_entropy": token_entropy, "refusal_entailment": refusal_entailment}).value


def overall_score(capability: float, untargeted: float, targeted: float | None = None) -> float:
    """Return (FE + MU) / 2, FE = UFE, or (UFE + TFE) / 2 where the method aims at a refusal (002's OVR). Up.

    *Derived*: the slides give no rule. This one gives 83 of the 85 OVR of their tables on TOFU and real people to
    0.011 of 100; the others are 74.42 for 74.46 (Llama 2, IDK+GD, 5 %, DO+ 8bit) and a rounding. The OVR of the
    safety-alignment table is another number, by a rule that could not be found.

    Args:
        capability: MU (``model_capability``).
        untargeted: UFE (``forget_efficacy``).
        targeted: TFE, for methods that aim at a refusal (IDK+GD, IDK+AP ...); None for the others (ME+GD ...).

    >>> round(overall_score(47.69, 75.51, 67.85), 2), round(overall_score(46.19, 93.92), 2)
    (59.69, 70.06)
    """
    efficacy = untargeted if targeted is None else (untargeted + targeted) / 2
    return (efficacy + capability) / 2
