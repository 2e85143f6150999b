"""People: who is forgotten, kept and tested; evaluated by paper 002's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from unlearnkit.datamodules import People
from unlearnkit.errors import ConfigurationError, DataError, MismatchError
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.models import CausalLM
from unlearnkit.packaged import CONFIGS
from unlearnkit.study import load_method, method_names
from unlearnkit.synthetic import fictitious_people, write_people_folder

SMALL: dict[str, Any] = {"people": 2, "neighbours": 4, "questions": 3, "vocab_size": 400}


def make(**arguments: Any) -> People:
    data = People(**{**SMALL, **arguments})
    data.setup()
    return data


def indices(rows: Any) -> list[int]:
    return [row.index for row in rows]


def test_the_default_is_paper_002s_numbers_with_people_who_do_not_exist() -> None:
    data = People()
    data.setup()
    sizes = (data.split.forget, data.split.retain, data.evaluation_sets["retain"])
    assert [len(found) for found in sizes] == [400, 400, 400]


def test_unlearning_never_sees_who_is_tested_and_models_from_scratch_learn_them() -> None:
    data = make()
    tested = indices(data.evaluation_sets["retain"])
    assert indices(data.evaluation_sets["forget"]) == list(data.split.forget) == list(range(6))
    assert not set(tested) & {*data.split.forget, *data.split.retain}
    names = {data._data.rows[i].question for i in tested}  # type: ignore[union-attr]
    assert len(names) == 6
    assert indices(make(train_on="full").samples("train")) == [*range(12), *tested]
    assert indices(make(train_on="retain").samples("train")) == [*range(6, 12), *tested]
    assert indices(make(train_on="full", knowledge=False).samples("train")) == list(range(12))


def test_a_folder_is_the_split_of_its_rows_whatever_their_order(tmp_path: Path) -> None:
    numbers = {key: SMALL[key] for key in ("people", "neighbours", "questions")}
    folder = write_people_folder(tmp_path / "people", **numbers)
    generated, read = make(), make(path=str(folder))
    assert read.split == generated.split
    assert make(seed=5, data_seed=0).split.hash == generated.split.hash
    # Another draw of who is tested is another split, though as many rows are on each side.
    other = next(
        found for seed in range(1, 9) if (found := make(path=str(folder), data_seed=seed)).split != read.split
    )
    assert other.split.forget == read.split.forget and other.split.hash != read.split.hash


def test_golden_answers_are_what_evaluation_compares_with(tmp_path: Path) -> None:
    made = fictitious_people(people=1, neighbours=2, questions=2)
    for side, rows in made.items():
        lines = [json.dumps({**row, "golden_answer": f"Golden {row['value']}."}) for row in rows]
        (tmp_path / f"{side}.json").write_text("\n".join(lines))
    data = make(path=str(tmp_path))
    assert data.evaluation_sets["forget"][0].answer == f"Golden {made['forget'][0]['value']}."
    assert data.samples("forget")[0].answer == made["forget"][0]["answer"]
    assert indices(data.evaluation_sets["forget"]) == indices(data.samples("forget"))


def test_somebody_on_both_sides_is_refused(tmp_path: Path) -> None:
    made = fictitious_people(people=1, neighbours=2, questions=1)
    shared = {"forget": made["forget"], "neighbor": made["neighbor"] + made["forget"]}
    for side, rows in shared.items():
        (tmp_path / f"{side}.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"nobody in both forget.json and neighbor.json. Found 1 who are"):
        make(path=str(tmp_path))
    with pytest.raises(ConfigurationError, match="`test_people` must be from 1 to 3"):
        make(test_people=4)


def test_evaluation_has_paper_002s_numbers_under_its_own_name() -> None:
    data = make()
    model = CausalLM(hidden_size=32, layers=1, heads=2)
    model.materialize(data.tokenizer)
    evaluator = TOFUEvaluator(closer_look=True, max_new_tokens=6)
    found = evaluator.evaluate(model, data)
    assert found["benchmark"] == "people"
    assert found["comparability"]["n"] == {"forget": 6, "retain": 6}
    assert len(found["comparability"]["capability_parts"]) == 6
    summary = found["summary"]
    ufe, tfe, mu = (
        summary[key] for key in ("forget_efficacy", "targeted_forget_efficacy", "model_capability")
    )
    assert summary["overall"] == pytest.approx((ufe + mu) / 2)
    assert summary["overall_targeted"] == pytest.approx(((ufe + tfe) / 2 + mu) / 2)
    with pytest.raises(MismatchError, match="same benchmark"):
        evaluator.with_reference(found, found | {"benchmark": "tofu"})


# ---------------------------------------------------------------------------------- packaged YAML


@pytest.mark.parametrize("pair", ["idk_gd", "me_gd"])
def test_each_row_of_paper_002s_table_is_packaged(pair: str) -> None:
    ways = {
        "": ("FixedWeights", "torch.optim.AdamW", 32),
        "_alternate": ("Alternate", "torch.optim.AdamW", 32),
        "_dual_optim": ("Alternate", "DualOptim", 32),
        "_dual_optim_8bit": ("Alternate", "DualOptim", 8),
        "_dual_optim_plus": ("Alternate", "DualOptimPlus", 32),
        "_dual_optim_plus_8bit": ("Alternate", "DualOptimPlus", 8),
    }
    assert {name for name in method_names("people") if name.startswith(pair)} == {pair + end for end in ways}
    for end, way in ways.items():
        chosen = load_method(pair + end, "people").model["init_args"]
        optimizer = chosen["optimizer"]
        bits = optimizer["init_args"].get("state_bits", 32)
        assert (chosen["strategy"]["class_path"], optimizer["class_path"], bits) == way
        assert chosen["forget"]["class_path"] == {"idk_gd": "IDK", "me_gd": "MaxEntropy"}[pair]


def test_the_quickstart_runs_them_all() -> None:
    content = yaml.safe_load((CONFIGS / "people" / "quickstart.yaml").read_text())
    assert set(content["methods"]) == set(method_names("people"))


def test_a_refusal_stays_with_its_question_unless_asked_otherwise() -> None:
    """Paper 002's code draws one for each row."""
    assert People(people=2, neighbours=2, questions=4).alternatives_per == "row"
    assert People(people=2, neighbours=2, questions=4, alternatives_per="round").alternatives_per == "round"


def test_the_packaged_rows_decay_weights_as_the_published_configuration() -> None:
    for path in (CONFIGS / "people").glob("*_gd*.yaml"):
        optimizer = yaml.safe_load(path.read_text())["model"]["init_args"]["optimizer"]["init_args"]
        parts = [optimizer[side]["init_args"] for side in ("forget", "retain") if side in optimizer] or [
            optimizer
        ]
        assert {part["weight_decay"] for part in parts} == {0.01}, path
