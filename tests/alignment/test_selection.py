"""Selection: what it checks, how weights follow rows, and the file that anyone can read."""

from __future__ import annotations

import json

import pytest
import torch

from unlearnkit.alignment import Selection
from unlearnkit.errors import ArtifactError, ConfigurationError, DataError, NonFiniteError


def selection(**changes):
    settings = {
        "indices": torch.tensor([40, 10]),
        "weights": torch.tensor([0.75, 0.25]),
        "candidates": torch.tensor([30, 10, 40, 20]),
        "gains": torch.tensor([-1.0, 0.1, 0.3, 1 / 3], dtype=torch.float64),
        "history": [{"round": 1, "J": 0.5, "g": -0.5}],
    }
    return Selection(**(settings | changes))


def test_weights_follow_rows_in_any_order():
    found = selection()
    assert found.of(torch.tensor([10, 20, 30, 40, 40])).tolist() == [0.25, 0.0, 0.0, 0.75, 0.75]
    assert found.of(torch.tensor([], dtype=torch.int64)).tolist() == []
    assert found.ess == pytest.approx(1.6)


def test_a_row_that_is_no_candidate_is_refused():
    for row in (5, 25, 50):
        with pytest.raises(ConfigurationError, match=f"Found row {row}, which was no candidate"):
            selection().of(torch.tensor([10, row]))


def test_mass_by_kind_adds_up():
    kinds = {10: "toxic", 20: "toxic", 30: "shared", 40: "mislabelled"}
    assert selection().mass_by(kinds) == {"mislabelled": 0.75, "toxic": 0.25}


def test_a_file_keeps_every_bit_and_says_in_plain_words_what_it_holds(tmp_path):
    path = tmp_path / "selection.json"
    weights = torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)
    selection(weights=weights).save(path)
    again = Selection.load(path)
    assert torch.equal(again.weights, weights)
    assert torch.equal(again.indices, torch.tensor([40, 10]))
    assert torch.equal(again.gains, selection().gains)
    assert again.history == [{"round": 1, "J": 0.5, "g": -0.5}]
    found = json.loads(path.read_text())
    assert found["kind"] == "selection"
    assert dict(zip(found["indices"], found["weights"], strict=True)) == {40: 1 / 3, 10: 2 / 3}
    assert found["effective_sample_size"] == pytest.approx(1.8)


def test_a_selection_without_gains_is_kept_too(tmp_path):
    selection(gains=None).save(tmp_path / "s.json")
    assert Selection.load(tmp_path / "s.json").gains is None


@pytest.mark.parametrize("content", ['{"kind": "split"}', "[]", '{"kind": "selection", "indices": [1]}'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ArtifactError, match="must be a selection that a run saved"):
        Selection.load(tmp_path / "s.json")


def test_weights_off_the_simplex_are_refused():
    for weights, error, message in (
        ([0.5, 0.4], DataError, "add up to 1. Found a sum of 0.9"),
        ([1.5, -0.5], DataError, "least weight of -0.5"),
        ([float("nan"), 1.0], NonFiniteError, "`weights` must be finite. Found nan"),
        ([1.0], DataError, "2 rows and 1 weights"),
    ):
        with pytest.raises(error, match=message):
            selection(weights=torch.tensor(weights))


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="Found row 11, which is none"):
        selection(indices=torch.tensor([40, 11]))
    with pytest.raises(DataError, match="each row once"):
        selection(indices=torch.tensor([40, 40]))
    with pytest.raises(DataError, match="at least one row"):
        selection(indices=torch.tensor([], dtype=torch.int64), weights=torch.tensor([]))
    with pytest.raises(DataError, match="one number per candidate. Found 1 for 4"):
        selection(gains=torch.tensor([1.0]))
