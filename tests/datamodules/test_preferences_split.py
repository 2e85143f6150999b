"""The paper's partition: prompts stay whole, shares come out, hashes decide."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from unlearnkit.artifacts import read_json
from unlearnkit.datamodules.preferences_split import partition, write_manifest
from unlearnkit.errors import ConfigurationError

# 3 to 5 pairs a prompt, in no order.
PROMPTS = [f"prompt {(7 * number) % 250 // (1 + number % 2)}" for number in range(1000)]


def test_every_pair_is_in_one_part_and_no_prompt_in_two() -> None:
    found = partition(PROMPTS).parts()
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(1000))
    prompts = {name: {PROMPTS[number] for number in numbers} for name, numbers in found.items()}
    for one, two in combinations(prompts, 2):
        assert not prompts[one] & prompts[two], (one, two)


@pytest.mark.parametrize(("negative", "forget"), [(0.65, 0.65), (0.7, 0.8), (0.365, 0.2)])
def test_shares_are_the_papers(negative: float, forget: float) -> None:
    """The sheet's reading of its counts: pairs = .2 of the rest, forget = .8 of the rest x negative x forget."""
    found = partition([str(n) for n in range(14035)], negative_ratio=negative, forget_ratio=forget)
    sizes = {name: len(numbers) for name, numbers in found.parts().items()}
    assert sizes["test"] == 2000
    assert sizes["pairs"] == 2407
    assert abs(sizes["forget"] - 9628 * negative * forget) <= 1
    assert abs(sizes["positives"] - 9628 * (1 - negative)) <= 1


def test_the_order_of_rows_changes_nothing_and_the_seed_does() -> None:
    def prompts(rows, **arguments):
        return [
            sorted({rows[number] for number in part})
            for part in partition(rows, **arguments).parts().values()
        ]

    backwards = PROMPTS[::-1]
    assert prompts(PROMPTS) == prompts(backwards) != prompts(PROMPTS, seed=1)


def test_more_forgetting_forgets_the_same_and_more() -> None:
    some, more, all_ = (set(partition(PROMPTS, forget_ratio=ratio).forget) for ratio in (0.3, 0.65, 1.0))
    assert some < more < all_
    assert not partition(PROMPTS, forget_ratio=1.0).negatives


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"negative_ratio": 1.0}, "`negative_ratio` must be a share between 0 and 1. Found 1.0"),
        ({"forget_ratio": 0.0}, "`forget_ratio` must be a share between 0 and 1, itself allowed. Found 0.0"),
        ({"forget_ratio": 1e-4}, "must leave a prompt in every part. Found none in forget, of"),
        ({"test_prompts": 10_000}, "`test_prompts` must be from 1 to"),
        ({"test_prompts": 0}, "`test_prompts` must be from 1 to"),
    ],
)
def test_bad_shares(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        partition(PROMPTS, **arguments)


def test_the_manifest_holds_rows_of_the_data_set(tmp_path: Path) -> None:
    found = partition(PROMPTS)
    ids = [10 * number for number in range(1000)]
    write_manifest(tmp_path / "manifest.json", found, ids, "made up", {"seed": 0}, {"too long": 3})
    read = read_json(tmp_path / "manifest.json")
    assert read["rows"] == {name: [10 * n for n in numbers] for name, numbers in found.parts().items()}
    assert read["sizes"]["pairs"] == len(found.pairs)
    assert read["left_out"] == {"too long": 3}
