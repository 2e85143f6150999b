"""Every number of a summary has a definition and a direction."""

from __future__ import annotations

import pytest

from unlearnkit.evaluators.tofu_attacks import attack_summary
from unlearnkit.evaluators.tofu_definitions import DEFINITIONS, SETS, higher_is_better, utility_parts
from unlearnkit.evaluators.tofu_summary import summarise
from unlearnkit.metrics.functional import ATTACKS, UTILITY_PARTS

ROW = {
    "rouge": [0.5],
    "fact": [True],
    "tokens": [4],
    "mean_nll": [1.0],
    "paraphrase_mean_nll": [1.0],
    "perturbed_mean_nll": [[2.0]],
    "exact_memorisation": [0.5],
    "extraction_strength": [0.5],
    "token_entropy": [0.5],
    "similarity": [0.5],
    "entailed": [True],
    "refusal_entailed": [False],
}
SCORES = {"index": [0], **{attack: [0.5] for attack in ATTACKS}}


def test_every_number_is_defined() -> None:
    summary, _ = summarise(dict.fromkeys(SETS, ROW))
    attacked = attack_summary(dict.fromkeys(("forget", "holdout"), SCORES), ATTACKS, None)
    assert len(attacked) == len(ATTACKS) + 1
    for name in [*summary, *attacked, "forget_quality", "forget_quality_log10", "forget_quality_arithmetic"]:
        bare = next((name.removeprefix(f"{one}_") for one in SETS if name.startswith(f"{one}_")), name)
        assert name in DEFINITIONS or bare in DEFINITIONS, name


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("forget_quality", True),
        ("forget_quality_log10", True),
        ("forget_rouge", "near reference"),
        ("forget_loss", "near reference"),
        ("verbmem", False),
        ("non_finite", False),
        ("world_facts_loss", False),
        ("real_authors_probability", True),
        ("model_utility", True),
        ("paper_truth_ratio", True),
        ("forget_efficacy", True),
        ("targeted_forget_efficacy", True),
        ("model_capability", True),
        ("overall_targeted", True),
        ("retain_token_entropy", True),
        ("forget_token_entropy", True),
        ("forget_refusal_entailment", True),
        ("forget_entailment", "near reference"),
        ("forget_extraction_strength", "near reference"),
        ("auc_min_k++", "near reference"),
        ("privleak", "near reference"),
    ],
)
def test_directions(name: str, better: object) -> None:
    assert higher_is_better(name) == better


def test_utility_takes_the_nine_parts_of_one_definition() -> None:
    assert list(utility_parts()) == list(utility_parts().values()) == list(UTILITY_PARTS)
    changed = [key for part, key in utility_parts(arithmetic=True).items() if part != key]
    assert changed == [f"{name}_truth_ratio_arithmetic" for name in SETS[1:]]
