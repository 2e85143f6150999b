"""TOFU: tokenizer, streams, evaluation sets; generated and real data through real trainers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from unlearnkit.batches import IGNORE, QARow
from unlearnkit.datamodules import TOFU, train_bpe
from unlearnkit.datamodules.alternatives import refusals
from unlearnkit.errors import (
    ConfigurationError,
    DataError,
    DataNotFoundError,
    MismatchError,
    UnknownNameError,
)
from unlearnkit.objectives import IDK, NLL
from unlearnkit.synthetic import write_tofu_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")

SMALL: dict[str, Any] = {"authors": 10, "questions": 3, "vocab_size": 400}


def make(**arguments: Any) -> TOFU:
    data = TOFU(**{**SMALL, **arguments})
    data.setup()
    return data


def indices(rows: Any) -> list[int]:
    return [row.index for row in rows]


class Attached(LightningModule):
    """A module whose model has a name and a context, as language models do."""

    def __init__(self, name: str | None = None, context_length: int = 256) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.model = SimpleNamespace(name=name, context_length=context_length)
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.optimizers().step()
        self.seen.append({side: rows["index"].tolist() for side, rows in batch.items()})

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seen.append((dataloader_idx, batch["index"].tolist()))

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **arguments: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(
        accelerator="cpu", enable_checkpointing=False, default_root_dir=folder, **{**quiet, **arguments}
    )


# ------------------------------------------------------------------------------------------- data


def test_the_default_is_generated_and_needs_nothing() -> None:
    data = TOFU()
    data.setup()
    assert (len(data.split.forget), len(data.split.retain)) == (40, 360)
    assert data.rounds_per_epoch == 2  # 40 forget pairs, 20 a round
    batch = data.batch(0)
    assert batch["forget"]["input_ids"].shape[0] == 20
    assert batch["retain"]["input_ids"].shape[0] == 32
    assert set(batch["forget"]["index"].tolist()) <= set(data.split.forget)
    assert len(data.tokenizer) == 1000


def test_what_each_run_trains_on() -> None:
    forget, retain = list(range(27, 30)), list(range(27))
    pair = make()
    assert (indices(pair.samples("forget")), indices(pair.samples("retain"))) == (forget, retain)
    assert indices(make(train_on="full", knowledge=False).samples("train")) == forget + retain
    assert indices(make(train_on="retain", knowledge=False).samples("train")) == retain
    known = list(range(30, 30 + 80))
    assert indices(make(train_on="full").samples("train")) == forget + retain + known
    assert indices(make(train_on="retain").samples("train")) == retain + known


def test_knowledge_is_learnt_by_default_only_with_a_tokenizer_from_scratch(tmp_path: Path) -> None:
    make().save_tokenizer(tmp_path / "tokenizer")
    loaded = {"tokenizer": str(tmp_path / "tokenizer"), "train_on": "full"}
    assert len(make(train_on="full").samples("train")) == 30 + 80
    assert len(make(**loaded).samples("train")) == 30
    assert len(make(**loaded, knowledge=True).samples("train")) == 30 + 80


def test_all_runs_of_a_split_share_split_and_tokenizer() -> None:
    runs = [make(train_on=train_on) for train_on in ("full", "retain", "pair")]
    assert len({run.split.hash for run in runs}) == 1
    assert len({run.tokenizer.backend_tokenizer.to_str() for run in runs}) == 1


def test_the_seed_chooses_data_and_order_and_data_seed_the_data_alone() -> None:
    base, seed, order = make(), make(seed=1), make(seed=1, data_seed=0)
    assert seed.split.hash != base.split.hash
    assert order.split.hash == base.split.hash
    assert order.batch(0)["retain"]["index"].tolist() != base.batch(0)["retain"]["index"].tolist()


def test_the_same_rows_from_a_folder_are_the_same_split(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tofu_folder(tmp_path / name, authors=10, questions=3, general=40)
    hashes = {make(path=str(tmp_path / name)).split.hash for name in ("one", "two")}
    assert hashes == {make().split.hash}


def test_the_real_data(test_data: Path) -> None:
    data = TOFU(str(test_data / "TOFU"), forget_authors=5, retain_authors=5, vocab_size=1500)
    data.setup()
    assert data.split.forget == tuple(range(3600, 3700))
    assert data.split.retain == tuple(range(100))
    longest = max(map(sum, zip(data.lengths("forget"), data.lengths("retain"), strict=True)))
    assert longest < 512
    sizes = {name: len(rows) for name, rows in data.evaluation_sets.items()}
    assert sizes == {"forget": 100, "retain": 100, "real_authors": 100, "world_facts": 117}
    row = data.evaluation_sets["forget"][0]
    assert len(row.perturbed_answers) == 5
    assert row.paraphrased_answer


# ------------------------------------------------------------------------------------- tokenizer


def test_the_tokenizer_of_the_attached_model(tmp_path: Path) -> None:
    train_bpe(["some other text"] * 9, 270, folder=tmp_path / "model")
    data = TOFU(**SMALL)
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(Attached(str(tmp_path / "model")), data)
    assert len(data.tokenizer) <= 270


def test_an_explicit_tokenizer_goes_before_the_models(tmp_path: Path) -> None:
    train_bpe(["some text"] * 9, 262, folder=tmp_path / "model")
    train_bpe(["some text"] * 9, 264, folder=tmp_path / "mine")
    data = TOFU(**SMALL, tokenizer=str(tmp_path / "mine"))
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(Attached(str(tmp_path / "model")), data)
    assert len(data.tokenizer) == 264


def test_a_second_setup_keeps_the_tokenizer_unless_the_model_is_another(tmp_path: Path) -> None:
    data = make()
    tokenizer, rows = data.tokenizer, data.samples("forget")
    data.setup()
    assert data.tokenizer is tokenizer
    assert all(one is two for one, two in zip(data.samples("forget"), rows, strict=True))
    train_bpe(["some text"] * 9, 262, folder=tmp_path / "model")
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(Attached(str(tmp_path / "model")), data)
    assert len(data.tokenizer) == 262


def test_the_saved_tokenizer_encodes_alike(tmp_path: Path) -> None:
    data = make()
    data.save_tokenizer(tmp_path / "tokenizer")
    again = make(tokenizer=str(tmp_path / "tokenizer"))
    assert again.encode("Who?", "She.") == data.encode("Who?", "She.")
    assert data.encode("Who?", "She.")[1][-1] == data.tokenizer.eos_token_id
    assert data.encode("Who?")[1] == []


def test_collate_takes_any_pairs() -> None:
    data = make()
    batch = data.collate([QARow(5, "Who?", "She."), *data.evaluation_sets["world_facts"][:2]])
    assert batch["index"].tolist() == [5, 30 + 40, 30 + 41]
    scored = [ids[ids != IGNORE].tolist() for ids in batch["labels"]]
    assert scored[0] == data.encode("Who?", "She.")[1]


# --------------------------------------------------------------------------------------- trainers


def test_training_sees_pairs(tmp_path: Path) -> None:
    module, data = Attached(), make(forget_batch_size=2, retain_batch_size=4, epoch_length="retain")
    trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(module, data)
    assert len(module.seen) == 7  # 27 retain pairs, 4 a round
    assert module.seen == [
        {side: rows["index"].tolist() for side, rows in data.batch(round_).items()} for round_ in range(7)
    ]


@pytest.mark.parametrize("what", ["validate", "test", "predict"])
def test_evaluation_passes_over_both_sets(tmp_path: Path, what: str) -> None:
    module, data = Attached(), TOFU(**SMALL)
    getattr(trainer(tmp_path), what)(module, datamodule=data)
    assert data.evaluation_names == ["forget", "retain"]
    for number, name in enumerate(data.evaluation_names):
        seen = [index for where, batch in module.seen if where == number for index in batch]
        assert seen == indices(data.evaluation_sets[name])


def test_a_checkpoint_of_other_authors_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(Attached(), TOFU(**SMALL))
    run.save_checkpoint(tmp_path / "run.ckpt")
    for other in ({"seed": 1}, {"forget": "forget01", "authors": 20}, {"retain_authors": 3}):
        with pytest.raises(MismatchError, match="a split that is not the checkpoint's"):
            trainer(tmp_path, max_steps=2, limit_val_batches=0).fit(
                Attached(), TOFU(**{**SMALL, **other}), ckpt_path=tmp_path / "run.ckpt"
            )


# -------------------------------------------------------------------------------------- bad input


def test_a_prompt_longer_than_the_models_context(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Found .* tokens in row \d+ .* and a limit of 24. Raise max_length"):
        trainer(tmp_path, max_steps=1).fit(Attached(context_length=24), TOFU(**SMALL))


def test_an_empty_answer_in_the_data(tmp_path: Path) -> None:
    folder = write_tofu_folder(tmp_path / "TOFU", authors=10, questions=3, general=4)
    row = '{"question": "Who?", "answer": " "}\n'
    for name in ("full", "retain90"):
        with open(folder / f"{name}.json", "a") as file:
            file.write(row)
    with pytest.raises(
        DataError, match=r"`answer` must have at least one token. Found ' ' in row 30 \('Who\?'\)"
    ):
        make(path=str(folder))


def test_no_network_with_the_hubs_name() -> None:
    with pytest.raises(DataNotFoundError, match=r"Found 'locuslab/TOFU', .*give the path of a folder"):
        TOFU("locuslab/TOFU", forget="forget10").prepare_data()


def test_names_and_numbers() -> None:
    message = r"`forget` must be one of: forget01, forget05, forget10. Found 'forget20'"
    with pytest.raises(UnknownNameError, match=message):
        TOFU(forget="forget20")
    for name in ("questions", "evaluation_rows", "max_length"):
        with pytest.raises(ConfigurationError, match=rf"`{name}` must be 1 or above. Found 0"):
            TOFU(**{name: 0})
    with pytest.raises(
        ConfigurationError, match=r"`forget_authors` must be from 1 to 1, the authors there are"
    ):
        make(forget_authors=2)


def test_asked_before_setup() -> None:
    with pytest.raises(ConfigurationError, match=r"known after setup.*Call .setup\(\) first"):
        _ = TOFU().tokenizer


def test_unseen_authors_are_on_neither_side_and_as_many_as_are_forgotten():
    data = TOFU(authors=20, questions=3, retain_authors=4, train_batch_size=4)
    data.setup()
    batches = list(data.unseen_batches())
    seen = {*data.split.forget, *data.split.retain}
    index = [int(i) for batch in batches for i in batch["index"]]
    assert len(index) == len(set(index)) == len(data.split.forget) == 6
    assert not seen & set(index)
    assert [len(batch["index"]) for batch in batches] == [4, 2]


def test_a_split_of_everything_has_no_unseen_authors():
    data = TOFU(authors=10, questions=3)
    data.setup()
    with pytest.raises(DataError, match=r"`unseen` data must be .* Found none.*--data.retain_authors=4"):
        next(data.unseen_batches())


def test_held_out_authors_are_never_trained_on() -> None:
    for train_on in ("full", "retain", "pair"):
        data = make(train_on=train_on, holdout_authors=2)
        held_out = set(indices(data.evaluation_sets["holdout"]))
        assert len(held_out) == 6
        parts = ("train",) if train_on != "pair" else ("forget", "retain")
        assert not held_out & {number for part in parts for number in indices(data.samples(part))}
    assert "holdout" not in data.evaluation_names


# ---------------------------------------------------------------------------------- second answers


def second_texts(data: TOFU, batch: Any) -> list[str]:
    """Return the second answers of a batch as text."""
    second = batch["alternative"]
    return [
        str(data.tokenizer.decode(labels[labels != IGNORE], skip_special_tokens=True)).strip()
        for labels in second["labels"]
    ]


def test_refusals_go_with_both_sides_and_change_from_round_to_round() -> None:
    data, plain = make(alternatives="refusals"), make()
    batches = [data.batch(round_) for round_ in range(4)]
    for round_, batch in enumerate(batches):
        for side in ("forget", "retain"):
            assert set(second_texts(data, batch[side])) <= set(refusals())
            assert torch.equal(batch[side]["alternative"]["index"], batch[side]["index"])
            bare = {name: value for name, value in batch[side].items() if name != "alternative"}
            expected = plain.batch(round_)[side]
            assert all(torch.equal(bare[name], expected[name]) for name in expected)
    assert len({tuple(second_texts(data, batch["forget"])) for batch in batches}) == 4
    assert second_texts(data, data.batch(2)["forget"]) == second_texts(data, batches[2]["forget"])


@pytest.mark.parametrize("kind", ["refusals", "mismatch"])
def test_second_answers_per_row_stay_with_their_row(kind: str) -> None:
    data = make(alternatives=kind, alternatives_per="row")
    found: dict[int, set[str]] = {}
    for round_ in range(6):
        batch = data.batch(round_)["forget"]
        for index, text in zip(batch["index"].tolist(), second_texts(data, batch), strict=True):
            found.setdefault(index, set()).add(text)
    assert {len(texts) for texts in found.values()} == {1}
    assert len(set.union(*found.values())) > 1
    with pytest.raises(UnknownNameError, match="`alternatives_per` must be one of"):
        TOFU(alternatives_per="epoch")  # type: ignore[arg-type]


def test_a_mismatch_is_the_answer_of_a_retain_row() -> None:
    data = make(alternatives="mismatch")
    batch = data.batch(0)
    assert "alternative" not in batch["retain"]
    answers = [row.answer for row in data.samples("retain")]
    assert set(second_texts(data, batch["forget"])) <= set(answers)


def test_probes_passes_and_micro_batches_have_second_answers_too() -> None:
    data = make(alternatives="refusals", micro_batch_size=2)
    parts = data.batch(0)["forget"]
    assert len(parts) > 1
    assert all(len(second_texts(data, part)) == len(part["index"]) for part in parts)
    assert all("alternative" in part for part in data.probe_batch("retain", 3))
    assert all("alternative" in batch for batch in data.batches("forget"))


def test_a_trainers_batches_are_those_that_the_module_tells(tmp_path: Path) -> None:
    """Each side gets what its objective asks for, by the round, whatever the number of workers."""

    class Asking(Attached):
        def __init__(self) -> None:
            super().__init__()
            self.objectives = torch.nn.ModuleDict({"forget": IDK(), "retain": NLL()})

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().step()
            assert "alternative" not in batch["retain"]
            self.seen.append(second_texts(self.trainer.datamodule, batch["forget"]))

    for workers in (0, 1):
        data, module = TOFU(**SMALL, num_workers=workers, forget_batch_size=2), Asking()
        trainer(tmp_path, max_steps=4, limit_val_batches=0).fit(module, data)
        assert module.seen == [second_texts(data, data.batch(round_)["forget"]) for round_ in range(4)]


def test_no_second_answers_without_anybody_asking() -> None:
    assert all("alternative" not in side for side in make().batch(0).values())
    single = make(alternatives="refusals", train_on="full").batch(0)
    assert "alternative" not in single


def test_second_answers_that_are_missing_or_too_long_are_refused_at_setup(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="`refusals` must be a text file"):
        make(alternatives="refusals", refusals=str(tmp_path / "none.txt"))
    (tmp_path / "long.txt").write_text("I do not know. " * 60)
    with pytest.raises(DataError, match="`max_length` must hold prompt and answer"):
        make(alternatives="refusals", refusals=str(tmp_path / "long.txt"), max_length=200)
    with pytest.raises(DataNotFoundError, match="`alternatives` must be 'refusals', 'mismatch' or a file"):
        make(alternatives="refusal")


def test_refusals_are_the_packaged_ones_or_a_files(tmp_path: Path) -> None:
    assert len(make().refusal_texts()) == 100
    (tmp_path / "mine.txt").write_text("No.\n\nI cannot say.\n")
    assert make(refusals=str(tmp_path / "mine.txt")).refusal_texts() == ("No.", "I cannot say.")
