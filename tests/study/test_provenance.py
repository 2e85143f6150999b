"""A table says where it comes from, and shows where it does not know."""

from __future__ import annotations

import pytest

from unlearnkit.study.grid import MISSING
from unlearnkit.study.provenance import caption, path_note, provenance
from unlearnkit.testing.results import made_up_results


def test_the_caption_has_all_parts() -> None:
    text = caption(made_up_results(seeds=2))
    for part in (
        "Llama form, 2 layers of 128, 0.52 M parameters, trained from scratch",
        "data: made up",
        "n: forget 40, retain 360",
        "seeds: 0, 1",
        "hardware: cpu made-up CPU, cores 2",
        "date: 2025-01-31",
        "command: unlearnkit compare --config tofu/quickstart.yaml",
    ):
        assert part in text


def test_what_is_not_recorded_is_a_dash() -> None:
    found = provenance({"rows": []})
    assert found.pop("model") == f"{MISSING}, {MISSING} parameters"
    assert set(found.values()) == {MISSING}
    assert MISSING in caption({"rows": [], "protocol": None, "hardware": {}})


def test_a_pretrained_model_is_not_called_trained_from_scratch() -> None:
    protocol = {"model": "gpt2", "parameters": 124_439_808, "from_scratch": False}
    assert provenance({"rows": [], "protocol": protocol})["model"] == "gpt2, 124.44 M parameters"


@pytest.mark.parametrize(
    ("parameters", "text"), [(1_235_814_400, "1.24 B"), (523_520, "0.52 M"), ("many", MISSING)]
)
def test_sizes_are_in_millions_or_billions(parameters: object, text: str) -> None:
    found = provenance({"rows": [], "protocol": {"parameters": parameters}})["model"]
    assert found.endswith(f"{text} parameters")


def test_a_named_source_goes_before_the_data_s_settings() -> None:
    protocol = {"data": {"class_path": "TOFU"}, "source": "generated fictitious authors"}
    assert provenance({"rows": [], "protocol": protocol})["data"] == "generated fictitious authors"


def test_seeds_are_read_from_the_rows_where_the_protocol_has_none() -> None:
    assert provenance({"rows": [{"seed": 3}, {"seed": 1}, {"seed": 3}]})["seeds"] == "1, 3"


def test_paths_on_fewer_rows_say_so() -> None:
    assert (
        path_note({"protocol": {"path_rows": 40}})
        == "Along the paths the first 40 rows of each set are evaluated."
    )
    images = {"evaluation": "classification", "protocol": {"path_rows": 40}}
    assert path_note(images) == "Along the paths 40 evenly spread rows of each set are evaluated."
    generated = {"evaluation": "generation", "protocol": {"path_rows": 40}}
    assert path_note(generated) == "Along the paths at most 40 images of each class are generated."
    assert path_note({"protocol": {"path_rows": None}}) == path_note({}) == ""
