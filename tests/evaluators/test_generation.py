"""GenerationEvaluator on generators whose images are known: its numbers from naive passes, its refusals, its JSON."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from tests.evaluators.generation_stand_ins import DrawsRealImages
from tests.modules.tiny import quiet
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.datamodules import DiffusionImages, ForgetSet
from unlearnkit.errors import (
    ConfigurationError,
    DataError,
    DataNotFoundError,
    MismatchError,
    UnknownNameError,
)
from unlearnkit.evaluators import GenerationEvaluator, read, write
from unlearnkit.evaluators.generation_definitions import BETTER, DEFINITIONS
from unlearnkit.evaluators.packed import unpack_images
from unlearnkit.models import DiffusionModel, HeldOutClassifier, ImageClassifier, held_out_classifier
from unlearnkit.modules import FinetuningModule


@pytest.fixture(scope="module")
def data():
    data = DiffusionImages("digits")
    data.setup()
    return data


def evaluator(**arguments):
    options = {"forget_samples": 20, "samples_per_class": 12, "steps": 4} | arguments
    return GenerationEvaluator(HeldOutClassifier(epochs=15), **options)


def generator(data, instead=None):
    return DrawsRealImages(*data.real_images("retain"), {3: 8} if instead is None else instead)


@pytest.fixture(scope="module")
def remembers(data):
    images, labels = data.collate([*data.split.forget, *data.split.retain]), None
    labels = images["targets"]
    return DrawsRealImages(images["inputs"], labels)


@pytest.fixture(scope="module")
def target(data, remembers):
    return evaluator().evaluate(remembers, data)


@pytest.fixture(scope="module")
def forgot(data):
    return evaluator().evaluate(generator(data), data)


def test_one_that_draws_all_is_recognised_and_one_that_forgot_is_not(target, forgot):
    assert target["judge"]["test_accuracy"] > 0.9
    before, after = target["summary"], forgot["summary"]
    assert before["forget_accuracy"] > 0.8 and before["retain_accuracy"] > 0.8
    assert after["forget_accuracy"] < 0.1 and after["forget_probability"] < 0.2
    assert after["retain_accuracy"] == before["retain_accuracy"], "the same keys draw the same images"
    assert set(forgot["accuracy_by_class"]) == set("0123456789")


def test_accuracies_are_those_of_a_naive_pass(data, forgot):
    by_class = forgot["accuracy_by_class"]
    kept = [by_class[name] for name in by_class if name != "3"]
    assert forgot["summary"]["retain_accuracy"] == pytest.approx(sum(kept) / 9)
    assert forgot["summary"]["forget_accuracy"] == pytest.approx(by_class["3"])


def test_real_images_are_near_real_images(target):
    numbers = target["summary"]
    assert 0 <= numbers["fid"] < 10 and abs(numbers["kid"]) < 0.5
    assert numbers["precision"] > 0.8 and numbers["recall"] > 0.5


def test_losses_are_of_each_set(data, forgot):
    batch = data.collate(list(data.split.forget))
    want = (batch["inputs"].double() / 255 - 0.5).square().mean().item()
    assert forgot["summary"]["forget_loss"] == pytest.approx(want, rel=1e-5)
    kept = data.real_images("test")[0][data.real_images("test")[1] != 3]
    whole = evaluator(loss_rows=None).evaluate(generator(data), data)["summary"]
    assert whole["test_loss"] == pytest.approx((kept.double() / 255 - 0.5).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("colour", [-1, -2])
def test_black_and_white_images_count_as_not_recognised(data, colour):
    numbers = evaluator(rows=5).evaluate(generator(data, {3: colour}), data)["summary"]
    assert numbers["forget_blank"] == 1 and numbers["forget_accuracy"] == 0 and numbers["retain_blank"] == 0


def test_every_number_says_what_it_is(forgot):
    assert set(forgot["summary"]) == set(BETTER) == set(DEFINITIONS)
    assert forgot["higher_is_better"]["forget_accuracy"] is False
    assert forgot["comparability"]["n"] | {"retain": 0} == {
        "forget": 62, "retain": 0, "test": 500, "generated": 128, "real": 538
    }  # fmt: skip


def test_the_protocol_is_asked_of_the_model_and_kept(data):
    model = generator(data)
    found = evaluator(guidance=1.5, eta=0.5, batch_size=40).evaluate(model, data)
    assert model.training
    assert model.asked[0] == {
        "steps": 4, "guidance": 1.5, "eta": 0.5, "sampler": "ddim", "batch_size": 40
    }  # fmt: skip
    kept = found["comparability"]["protocol"]
    assert kept["steps"] == 4 and kept["guidance"] == 1.5 and kept["forget_samples"] == 20
    assert kept["features"].startswith("judge (small") and kept["feature_dim"] == 64


def test_batches_do_not_change_the_numbers(data, forgot):
    assert evaluator(batch_size=7).evaluate(generator(data), data)["summary"] == pytest.approx(
        forgot["summary"], rel=1e-3, abs=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "what"), [({"steps": 5}, "steps"), ({"guidance": 1.0}, "guidance"), ({"seed": 1}, "seed"),
                            ({"feature_dim": 8}, "feature_dim"), ({"reference": "retain"}, "reference")]
)  # fmt: skip
def test_another_protocol_is_refused_side_by_side(data, forgot, arguments, what):
    other = evaluator(**arguments).evaluate(generator(data), data)
    with pytest.raises(MismatchError, match=rf"same protocol\['{what}'\] as this evaluation"):
        evaluator().with_reference(forgot, other)
    assert evaluator().with_reference(forgot, forgot) == forgot


def test_fewer_images_than_features_are_refused_with_the_number_needed(data):
    with pytest.raises(
        ConfigurationError, match=r"features \(64\).*Found 63 images of 9 classes.*samples_per_class=8"
    ):
        evaluator(samples_per_class=7).evaluate(generator(data), data)
    few = evaluator(samples_per_class=7, feature_dim=15).evaluate(generator(data), data)
    assert few["summary"]["fid"] is not None and few["comparability"]["protocol"]["feature_dim"] == 15
    assert evaluator(samples_per_class=8).evaluate(generator(data), data)["summary"]["fid"] is not None


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"samples_per_class": 7}, ConfigurationError, "Found 63 images of 9 classes"),
        ({"feature_dim": 65}, ConfigurationError, "`feature_dim` must be at most .* Found 65 of 64"),
        ({"features": "inception", "feature_dim": 4}, DataNotFoundError, "features=judge"),
        ({"reference_per_class": 10_000}, DataError, "`per_class` must be at most"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_anything_is_trained(
    data, monkeypatch, arguments, error, words
):
    monkeypatch.setattr(HeldOutClassifier, "_train", lambda *_: pytest.fail("a judge was trained"))
    evaluator().require(data)
    evaluator(rows=2, samples_per_class=2).require(data)
    with pytest.raises(error, match=words):
        evaluator(**arguments).require(data)


def test_a_path_of_few_rows_leaves_out_what_needs_more(data):
    found = evaluator(rows=6).evaluate(generator(data), data)
    assert found["summary"]["fid"] is None and found["summary"]["kid"] is not None
    assert found["comparability"]["n"]["forget"] == 6 and found["comparability"]["n"]["generated"] == 60


def test_a_forget_set_that_is_no_class_is_refused(data):
    scattered = DiffusionImages("digits", forget=ForgetSet(fraction=0.1))
    scattered.setup()
    with pytest.raises(DataError, match="whole classes"):
        evaluator().evaluate(generator(data), scattered)


def test_inception_is_refused_where_it_is_not_and_auto_names_what_it_took(data):
    with pytest.raises(DataNotFoundError, match="features=judge"):
        evaluator(features="inception").evaluate(generator(data), data)
    found = evaluator(features="auto", rows=4).evaluate(generator(data), data)
    assert found["comparability"]["protocol"]["features"].startswith("judge (small")


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"samples_per_class": 0},
        {"guidance": -1.0},
        {"eta": 1.5},
        {"feature_dim": 0},
        {"eta": 0.5, "sampler": "ddpm"},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        evaluator(**wrong)


@pytest.mark.parametrize("wrong", [{"sampler": "euler"}, {"features": "clip"}, {"reference": "train"}])
def test_unknown_names_are_refused(wrong):
    with pytest.raises(UnknownNameError, match=next(iter(wrong))):
        evaluator(**wrong)


def test_a_loaded_judge_is_taken_as_it_is(data, tmp_path):
    trained = HeldOutClassifier(epochs=2)
    trained.prepare(*data.held_out_images(), data.pixel_traits, data.held_out_digest)
    trained.classifier.save(tmp_path / "judge")
    judge = HeldOutClassifier(ImageClassifier(str(tmp_path / "judge")))
    without = DiffusionImages("digits", held_out=0.0)
    without.setup()
    found = GenerationEvaluator(judge, rows=4).evaluate(generator(data), without)
    assert "loaded from" in found["judge"]["name"]
    with pytest.raises(DataError, match="`held_out` must be above 0"):
        evaluator().evaluate(generator(data), without)


def test_it_is_json_and_holds_the_first_samples(data, forgot, tmp_path):
    write(forgot, tmp_path / "evaluation.json")
    assert read(tmp_path / "evaluation.json") == json.loads(json.dumps(forgot))
    kept = forgot["samples"]
    assert kept["classes"] == list("0123456789") and kept["forgotten"] == ["3"]
    images = unpack_images(kept["packed"])
    assert images.shape == (10, 3, 1, 8, 8)
    drawn = data.real_images("retain")[0]
    assert all(any(torch.equal(image, real) for real in drawn) for image in images[3])


def test_the_grid_has_as_many_of_each_class_as_there_are(data):
    few = evaluator(forget_samples=4, samples_per_class=2, feature_dim=4).evaluate(generator(data), data)
    assert unpack_images(few["samples"]["packed"]).shape == (10, 2, 1, 8, 8)
    assert evaluator(shown=0, rows=2).evaluate(generator(data), data)["samples"]["packed"] is None


def test_a_trainer_that_tests_trains_the_judge_and_writes_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(held_out_classifier, "_TRAINED", {})
    data = DiffusionImages("digits", per_class=12)
    callback = EvaluateEvery(evaluator(samples_per_class=1, forget_samples=2, steps=2, feature_dim=4))
    trainer = quiet(default_root_dir=tmp_path, callbacks=[callback])
    model = DiffusionModel(width=8, multipliers=[1])
    trainer.test(FinetuningModule(model), datamodule=data, verbose=False)
    found = read(tmp_path / "results.json")
    assert found["benchmark"] == "generation" and found["judge"]["test_accuracy"] > 0.5
    assert found["summary"]["fid"] > 0 and found["model"]["network"] == "UNet2DModel"


def test_a_model_that_diverged_is_said_to_have(data):
    model = copy.deepcopy(generator(data))
    with torch.no_grad():
        model.level.fill_(float("nan"))
    found = evaluator(rows=4).evaluate(model, data)
    assert "4 of 4 forget images" in found["failure"] and found["summary"]["forget_loss"] is None
