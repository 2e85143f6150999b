"""What tests and notebooks share; nothing else imports it."""

from unlearnkit.testing.given import Given, given_round
from unlearnkit.testing.host_contract import Case, HostContract, Outcome
from unlearnkit.testing.properties import (
    as_rule,
    assert_bounded,
    assert_edge_cases,
    assert_ignores_lengths,
    assert_non_conflicting,
    assert_permutation_invariant,
    assert_rotation_invariant,
    assert_same_direction,
    assert_scaling,
    assert_symmetric,
    hard_pairs,
    mild_pairs,
)
from unlearnkit.testing.results import made_up_results
from unlearnkit.testing.stub_strategies import AlternatingStub, ReweightedStub, Weighted
from unlearnkit.testing.tiny_gpt import TinyGPT, toy_sides, toy_target
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_dataset, toy_pair

__all__ = [
    "AlternatingStub",
    "Case",
    "Given",
    "HostContract",
    "Outcome",
    "ReweightedStub",
    "TinyGPT",
    "ToyClassifier",
    "Weighted",
    "as_rule",
    "assert_bounded",
    "assert_edge_cases",
    "assert_ignores_lengths",
    "assert_non_conflicting",
    "assert_permutation_invariant",
    "assert_rotation_invariant",
    "assert_same_direction",
    "assert_scaling",
    "assert_symmetric",
    "given_round",
    "hard_pairs",
    "made_up_results",
    "mild_pairs",
    "toy_batch",
    "toy_dataset",
    "toy_pair",
    "toy_sides",
    "toy_target",
]
