"""Preferences: sides, partition, second answers, guidance; a few steps of DPO; bad input."""

from __future__ import annotations

import copy
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from unlearnkit.artifacts import read_json
from unlearnkit.batches import IGNORE
from unlearnkit.datamodules import Preferences
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import DPO, NLL
from unlearnkit.strategies import ForgetOnly
from unlearnkit.synthetic import PreferenceWorld, write_preferences_folder

SMALL: dict[str, Any] = {"pairs": 120, "prompts": 40, "vocab_size": 400}


def make(**arguments: Any) -> Preferences:
    data = Preferences(**{**SMALL, **arguments})
    data.setup()
    return data


def indices(rows: Any) -> list[int]:
    return [row.index for row in rows]


def texts(data: Preferences, batch: Any) -> list[str]:
    """Return the answers of a batch as text."""
    return [
        str(data.tokenizer.decode(labels[labels != IGNORE], skip_special_tokens=True)).strip()
        for labels in batch["labels"]
    ]


# ------------------------------------------------------------------------------------------ sides


def test_the_default_is_generated_and_needs_nothing() -> None:
    data = Preferences()
    data.setup()
    batch = data.batch(0)
    assert batch["forget"]["input_ids"].shape[0] == 20
    assert set(batch["forget"]["index"].tolist()) <= set(data.split.forget)
    assert all(index % 2 == 0 for index in batch["retain"]["index"].tolist()), "retain are positives"
    assert "alternative" not in batch["forget"]


def test_what_each_run_trains_on() -> None:
    pair, drawn = make(), make().partition
    assert indices(pair.samples("forget")) == [2 * number + 1 for number in drawn.forget]
    assert indices(pair.samples("retain")) == [2 * number for number in drawn.positives]
    others = [2 * number for number in drawn.positives] + [2 * number + 1 for number in drawn.negatives]
    assert indices(make(train_on="retain").samples("train")) == others
    assert indices(make(train_on="full").samples("train")) == [2 * n + 1 for n in drawn.forget] + others
    assert indices(make(retain_side="retain").samples("retain")) == others


def test_by_reward_leaves_out_what_is_mislabelled_on_either_forget_side() -> None:
    options: dict[str, Any] = {"mislabel_rate": 1 / 3, "data_seed": 0}
    for side in ("forget", "pairs"):
        everything, kept = (
            make(**options, forget_side=side),
            make(**options, forget_side=side, by_reward=True),
        )
        assert everything.split.hash == kept.split.hash
        wrong = set(indices(everything.samples("forget"))) - set(indices(kept.samples("forget")))
        assert wrong and len(wrong) < len(everything.samples("forget"))
        assert everything.reward is not None
        for row in everything.pairs_of("forget" if side == "forget" else "pairs"):
            chosen, rejected = everything.reward([row.prompt] * 2, [row.chosen, row.rejected])
            assert (row.index in wrong) == (rejected >= chosen)
    assert indices(make(by_reward=True).samples("forget")) == indices(make().samples("forget"))


def test_by_kind_parts_safety_from_utility(tmp_path: Path) -> None:
    """Refusals to harmful prompts are learned on one side, answers to harmless ones on the other."""
    data = make(by_kind=True, alternatives="chosen")
    kinds = {row.index: row.kind for part in ("forget", "positives") for row in data.pairs_of(part)}  # type: ignore[arg-type]
    assert {kinds[row.index] for row in data.samples("forget")} == {"harmful"}
    assert {kinds[row.index + 1] for row in data.samples("retain")} == {"harmless"}
    assert set(indices(data.samples("forget"))) < set(indices(make().samples("forget")))
    assert make(by_kind=True).split.hash == make().split.hash
    write_preferences_folder(tmp_path, form="ultrafeedback", pairs=120, prompts=40)
    with pytest.raises(
        DataError, match="`by_kind` must come with harmful prompts on the forget side. Found none"
    ):
        make(path=str(tmp_path), by_kind=True).samples("forget")


def test_all_runs_share_split_and_tokenizer_whatever_their_sides() -> None:
    runs = [
        make(train_on="full"),
        make(train_on="retain"),
        make(forget_side="pairs", alternatives="chosen"),
        make(retain_side="guidance", positive_guidance=0.5),
    ]
    assert len({run.split.hash for run in runs}) == 1
    assert len({run.tokenizer.backend_tokenizer.to_str() for run in runs}) == 1


def test_no_prompt_is_in_two_parts_and_the_manifest_says_so(tmp_path: Path) -> None:
    data = make(mislabel_rate=1 / 3)
    data.save_manifest(tmp_path / "manifest.json")
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["source"] == data.split.source
    rows = {name: set(numbers) for name, numbers in manifest["rows"].items()}
    assert sorted(number for numbers in rows.values() for number in numbers) == list(range(120))
    prompts = {name: {row.prompt for row in data.pairs_of(name)} for name in rows}
    for one, two in combinations(rows, 2):
        assert not prompts[one] & prompts[two]
        assert not rows[one] & rows[two]
    assert {row.negative for row in data.pairs_of("forget")} == {"toxic", "shared", "mislabelled"}


def test_guidance_adds_chosen_answers_of_pairs_and_grows() -> None:
    positives = set(indices(make().samples("retain")))
    pairs = {2 * number for number in make().partition.pairs}
    added = [
        set(indices(make(positive_guidance=share).samples("retain"))) - positives for share in (0.2, 0.4, 1.0)
    ]
    assert added[0] < added[1] < added[2] == pairs
    assert len(added[0]) == round(0.2 * len(pairs))
    alone = make(positive_guidance=0.4, retain_side="guidance")
    assert set(indices(alone.samples("retain"))) == added[1]


def test_evaluation_sets_and_rows() -> None:
    data = make(evaluation_rows=5)
    assert {name: len(rows) for name, rows in data.evaluation_sets.items()} == {
        "forget": 5,
        "retain": 5,
        "test": 5,
    }
    row = data.evaluation_sets["test"][0]
    assert (row.answer, row.kind in ("harmful", "harmless"), row.reference) == (row.chosen, True, None)
    assert data.evaluation_sets["forget"][0].answer == data.evaluation_sets["forget"][0].rejected
    seen = [int(i) for batch in data.unseen_batches() for i in batch["index"]]
    assert seen == [2 * number + 1 for number in data.partition.test]


def test_the_true_reward_is_there_where_pairs_are_generated(tmp_path: Path) -> None:
    data = make(data_seed=4)
    row = data.pairs_of("pairs")[0]
    assert data.reward is not None
    assert data.reward([row.prompt], [row.chosen]) == PreferenceWorld(4).reward([row.prompt], [row.chosen])
    folder = write_preferences_folder(tmp_path / "made", "pairs", pairs=120, prompts=40)
    assert make(path=str(folder)).reward is None


@pytest.mark.parametrize("form", ["safe_rlhf", "ultrafeedback", "pairs"])
def test_a_folder_of_the_same_pairs_is_the_same_split(tmp_path: Path, form: Any) -> None:
    folder = write_preferences_folder(tmp_path / "made", form, pairs=120, prompts=40)
    assert make(path=str(folder)).split.hash == make().split.hash


# ---------------------------------------------------------------------------------- second answers


def test_the_second_answer_is_the_chosen_one_to_the_same_prompt() -> None:
    data = make(alternatives="chosen", micro_batch_size=4)
    for batch in (*data.batch(0)["forget"], data.probe_batch("forget", 1)[0], *data.batches("forget")):
        assert batch["alternative"]["index"].tolist() == batch["index"].tolist()
        rows = [data.pairs_of("forget")[data.partition.forget.index(i // 2)] for i in batch["index"].tolist()]
        assert texts(data, batch) == [row.rejected for row in rows]
        assert texts(data, batch["alternative"]) == [row.chosen for row in rows]
        for ids, other in zip(batch["input_ids"], batch["alternative"]["input_ids"], strict=True):
            prompt = data.encode(rows[0].prompt)[0][:2]
            assert ids[:2].tolist() == other[:2].tolist() == prompt
    assert "alternative" not in data.batch(0)["retain"][0]


def test_refusals_can_be_had_instead() -> None:
    data = make(alternatives="refusals")
    assert set(texts(data, data.batch(0)["forget"]["alternative"])) <= set(data.refusal_texts())


def test_pairs_of_the_partition_as_batches_and_their_prompts() -> None:
    data = make(train_batch_size=7)
    batches = list(data.pair_batches())
    assert [i for batch in batches for i in batch["index"].tolist()] == indices(data.pairs_of("pairs"))
    again = list(data.pair_batches())
    assert all(
        torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(batches, again, strict=True)
    )
    prompts = data.prompt_ids("pairs")
    assert set(prompts.values()) == {row.prompt for row in data.pairs_of("pairs")}
    assert all(list(ids) == data.encode(text)[0] for ids, text in prompts.items())


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*just built with random weights")
def test_a_trainer_hands_dpo_the_chosen_answers(tmp_path: Path) -> None:
    data, seen = Preferences(**SMALL, forget_side="pairs", forget_batch_size=4), []

    class Look(DPO):
        def forward(self, model: Any, batch: Any, reference: Any = None) -> Any:
            rows = {row.index: row for row in data.pairs_of("pairs")}
            seen.extend(zip(texts(data, batch["alternative"]), batch["index"].tolist(), strict=True))
            assert all(rows[index].chosen == text for text, index in seen)
            return super().forward(model, batch, reference)

    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    module = UnlearningModule(model, forget=Look(), retain=NLL(), strategy=ForgetOnly())
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    Trainer(accelerator="cpu", max_steps=2, limit_val_batches=0, default_root_dir=tmp_path, **quiet).fit(
        module, data
    )
    assert len(seen) >= 8


def test_margins_after_a_few_steps_of_dpo_are_positive() -> None:
    """A loader that mixes up pairs gives margins of about zero however long it trains."""
    data = make(forget_side="pairs", alternatives="chosen", forget_batch_size=12)
    assert indices(data.samples("forget")) == indices(data.pairs_of("pairs"))
    model = CausalLM(hidden_size=32, layers=1, heads=2, max_length=128)
    model.materialize(data.tokenizer)
    target = copy.deepcopy(model).requires_grad_(False)

    def margins() -> torch.Tensor:
        found = []
        with torch.no_grad():
            for batch in data.pair_batches():
                second = batch["alternative"]
                gains = [m.losses(batch) - m.losses(second) for m in (model, target)]
                found.append(gains[0] - gains[1])
        return torch.cat(found)

    assert margins().abs().max() < 1e-5
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    host = PlainHost(model, forget=DPO(beta=0.1), retain=NLL(), optimizer=optimizer, reference=lambda: target)
    for round_ in range(10):
        ForgetOnly().step(host, data.batch(round_))
    assert margins().mean() > 1.0
    assert (margins() > 0).double().mean() > 0.75


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"forget_side": "all"},
            UnknownNameError,
            "`forget_side` must be one of: forget, pairs. Found 'all'",
        ),
        ({"retain_side": "none"}, UnknownNameError, "`retain_side` must be one of"),
        (
            {"positive_guidance": 20},
            ConfigurationError,
            "`positive_guidance` must be a share from 0 to 1. Found 20",
        ),
        (
            {"retain_side": "guidance"},
            ConfigurationError,
            "`positive_guidance` must be above 0 where guidance is all",
        ),
        (
            {"by_reward": True, "path": "folder"},
            ConfigurationError,
            "`by_reward` must come with generated pairs, whose true reward is known. Found path='folder'",
        ),
        ({"max_characters": 0}, ConfigurationError, "`max_characters` must be 1 or above. Found 0"),
        (
            {"forget_ratio": 0.001},
            ConfigurationError,
            "must leave a prompt in every part. Found none in forget",
        ),
        (
            {"max_characters": 5},
            DataError,
            "Found none of 120: 0 with the same answer twice, 120 of more than 5",
        ),
        ({"mislabel_rate": 2.0}, ConfigurationError, "`mislabel_rate` must be a share from 0 to 1"),
    ],
)
def test_options_that_make_no_sense(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**arguments)


def test_asked_before_setup_and_for_a_part_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="`partition` is known after setup"):
        _ = Preferences().partition
    with pytest.raises(
        UnknownNameError, match="`part` must be one of: forget, negatives, pairs, positives, test"
    ):
        make().pairs_of("train")
