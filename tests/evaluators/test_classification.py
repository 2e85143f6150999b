"""ClassificationEvaluator: its numbers from a naive pass, its edge cases, its JSON."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn

from unlearnkit.datamodules import ForgetSet, Images
from unlearnkit.errors import ConfigurationError, DataError, MismatchError
from unlearnkit.evaluators import ClassificationEvaluator, classification, read, write
from unlearnkit.evaluators.classification import BETTER, DEFINITIONS
from unlearnkit.metrics.functional.membership import (
    confidence_nonmember_rate,
    entropy,
    entropy_member_rate,
    js_divergence,
    true_class_probability,
)
from unlearnkit.models import ImageClassifier


@pytest.fixture(scope="module")
def data():
    data = Images("digits", forget=ForgetSet(fraction=0.2), label_noise=0.1, per_class=30)
    data.setup()
    return data


@pytest.fixture(scope="module")
def model(data):
    model = ImageClassifier(seed=1)
    model.materialize(data.traits)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch = data.collate([*data.split.forget, *data.split.retain])
    for _ in range(30):
        optimizer.zero_grad()
        model.losses(batch).mean().backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def evaluation(model, data):
    return ClassificationEvaluator(batch_size=50).evaluate(model, data)


def naive(model, data, name):
    batch = data.collate(list(data.evaluation_samples(name)))
    with torch.no_grad():
        return model.eval()(batch).softmax(-1), batch["targets"]


@pytest.mark.parametrize("name", ["forget", "retain", "test"])
def test_accuracies_and_losses(model, data, evaluation, name):
    probabilities, labels = naive(model, data, name)
    summary = evaluation["summary"]
    assert summary[f"{name}_accuracy"] == pytest.approx(
        (probabilities.argmax(-1) == labels).double().mean().item()
    )
    own = probabilities[torch.arange(len(labels)), labels]
    assert summary[f"{name}_loss"] == pytest.approx(-own.log().mean().item(), rel=1e-4)
    confusion = torch.tensor(evaluation["confusion"][name])
    assert confusion.sum() == len(labels)
    assert confusion.diagonal().sum().item() / len(labels) == pytest.approx(summary[f"{name}_accuracy"])
    assert confusion.sum(1).tolist() == torch.bincount(labels, minlength=10).tolist()


def test_every_number_says_what_it_is(evaluation):
    numbers = evaluation["summary"]
    assert set(numbers) <= set(BETTER)
    assert {name for name in numbers if not name.endswith("_loss")} <= set(DEFINITIONS)
    assert evaluation["higher_is_better"]["forget_accuracy"] == "near reference"
    assert evaluation["comparability"]["n"] == {"forget": 60, "retain": 240, "test": 597}
    assert 0 <= numbers["mia_entropy_member_rate"] <= 1 and 0 <= numbers["mia_confidence_nonmember_rate"] <= 1
    assert numbers["gap"] is None


def test_the_model_keeps_its_mode_and_its_statistics(data):
    model = ImageClassifier(network="resnet18")
    model.materialize(data.traits)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ClassificationEvaluator(rows=8, attacks=False).evaluate(model, data)
    assert model.training and model.network.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_with_a_reference(model, data, evaluation):
    other = ImageClassifier(seed=2)
    other.materialize(data.traits)
    reference = ClassificationEvaluator().evaluate(other, data)
    found = ClassificationEvaluator().with_reference(evaluation, reference)["summary"]
    four = ("forget_accuracy", "retain_accuracy", "test_accuracy", "mia_entropy_member_rate")
    expected = sum(abs(evaluation["summary"][n] - reference["summary"][n]) for n in four) / 4
    assert found["gap"] == pytest.approx(expected)
    assert 0 < found["js_divergence"] < math.log(2)
    same = ClassificationEvaluator().with_reference(evaluation, evaluation)["summary"]
    assert same["gap"] == 0 and same["js_divergence"] == pytest.approx(0, abs=1e-9)


def test_a_reference_of_another_split_is_refused(model, evaluation):
    data = Images("digits", forget=ForgetSet(fraction=0.2, seed=1), label_noise=0.1, per_class=30)
    data.setup()
    other = ClassificationEvaluator().evaluate(model, data)
    with pytest.raises(MismatchError, match="same split_hash"):
        ClassificationEvaluator().with_reference(evaluation, other)


def test_a_forgotten_class_leaves_the_test_accuracy(model):
    data = Images("digits", forget=ForgetSet(classes=[3]), per_class=30)
    data.setup()
    summary = ClassificationEvaluator(attacks=False).evaluate(model, data)["summary"]
    probabilities, labels = naive(model, data, "test")
    right = probabilities.argmax(-1) == labels
    assert summary["test_accuracy"] == pytest.approx(right[labels != 3].double().mean().item())
    assert summary["forget_class_test_accuracy"] == pytest.approx(right[labels == 3].double().mean().item())


def test_attacks_are_trained_on_test_images_of_retained_classes(model):
    data = Images("digits", forget=ForgetSet(classes=[3]))
    data.setup()
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.network.head[-1].bias[3] -= 2  # its images leave the model unsure
    summary = ClassificationEvaluator().evaluate(model, data)["summary"]
    found = {name: naive(model, data, name) for name in ("forget", "retain", "test")}
    rates = []
    for kept in (found["test"][1] != 3, torch.ones(597, dtype=torch.bool)):
        sets = found | {"test": tuple(part[kept] for part in found["test"])}
        uncertain = {name: entropy(given) for name, (given, _) in sets.items()}
        sure = {name: true_class_probability(*given) for name, given in sets.items()}
        rates.append((entropy_member_rate(**uncertain), confidence_nonmember_rate(**sure)))
    names = ("mia_entropy_member_rate", "mia_confidence_nonmember_rate")
    assert tuple(summary[name] for name in names) == pytest.approx(rates[0])
    assert rates[0] != pytest.approx(rates[1])


def test_what_a_report_shows_is_the_test_images_where_a_class_is_forgotten(model, evaluation):
    data = Images("digits", forget=ForgetSet(classes=[3]), per_class=30)
    data.setup()
    found = ClassificationEvaluator(attacks=False).evaluate(model, data)
    assert found["confusion_shown"]["set"] == "test" and found["confusion_shown"]["forgotten"] == ["3"]
    counts = found["confusion"]["test"][3]
    assert found["confusion_shown"]["counts"]["3"] == {str(k): n for k, n in enumerate(counts) if n}
    assert evaluation["confusion_shown"]["set"] == "forget" and not evaluation["confusion_shown"]["forgotten"]


def test_which_classes_are_retained_is_said_by_true_labels(model):
    """With label noise some retained images carry the forgotten class's label."""
    data = Images("digits", forget=ForgetSet(classes=[3]), label_noise=0.2)
    data.setup()
    assert 3 in data.collate(data.split.retain)["targets"].tolist()
    assert data.retained_classes == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    summary = ClassificationEvaluator(attacks=False).evaluate(model, data)["summary"]
    assert "forget_class_test_accuracy" in summary


def test_a_diverged_model_is_a_failure_and_no_crash(model, data, tmp_path):
    broken = ImageClassifier()
    broken.materialize(data.traits)
    nn.init.constant_(next(broken.parameters()), math.nan)
    evaluation = ClassificationEvaluator().evaluate(broken, data)
    summary = evaluation["summary"]
    assert summary["forget_accuracy"] == summary["retain_accuracy"] == 0.0
    assert summary["mia_entropy_member_rate"] is None and summary["retain_loss"] is None
    write(evaluation, tmp_path / "evaluation.json")
    assert read(tmp_path / "evaluation.json")["summary"] == summary
    compared = ClassificationEvaluator().with_reference(evaluation, evaluation)["summary"]
    assert compared["gap"] is None and compared["js_divergence"] is None
    assert evaluation["failure"] == (
        "the model's output is not a number for 60 of 60 forget images, 240 of 240 retain images, "
        "597 of 597 test images: it diverged"
    )
    assert sum(map(sum, evaluation["confusion"]["forget"])) == 0


def test_a_model_that_fails_on_some_images_is_a_failure_too(data):
    class Half(ImageClassifier):
        def forward(self, batch):
            found = super().forward(batch)
            return torch.where(batch["targets"][:, None] == 3, math.nan, found)

    model = Half()
    model.materialize(data.traits)
    found = ClassificationEvaluator().evaluate(model, data)
    threes = (data.collate(list(data.split.forget))["targets"] == 3).sum().item()
    assert f"{threes} of 60 forget images" in found["failure"]
    assert found["summary"]["mia_confidence_nonmember_rate"] is None and found["summary"]["gap"] is None
    assert sum(map(sum, found["confusion"]["forget"])) == 60 - threes


def test_a_sound_model_is_no_failure(evaluation):
    assert evaluation["failure"] is None


def test_losses_go_beyond_what_a_probability_can_hold(data):
    model = ImageClassifier(seed=1)
    model.materialize(data.traits)
    with torch.no_grad():
        for parameter in list(model.parameters())[-2:]:
            parameter.mul_(1e5)
    summary = ClassificationEvaluator(attacks=False).evaluate(model, data)["summary"]
    batch = data.collate(list(data.evaluation_samples("forget")))
    with torch.no_grad():
        expected = nn.functional.cross_entropy(model.eval()(batch), batch["targets"]).item()
    assert summary["forget_loss"] == pytest.approx(expected) and expected > 1000


def test_a_reference_on_other_rows_of_any_set_is_refused(model, data, evaluation):
    other = json.loads(json.dumps(evaluation))
    other["comparability"]["n"]["test"] -= 1
    with pytest.raises(MismatchError, match=r"same n\['test'\] as this evaluation, 597. Found 596"):
        ClassificationEvaluator().with_reference(evaluation, other)
    other = json.loads(json.dumps(evaluation))
    other["comparability"]["row_hashes"]["retain"] = "0123456789abcdef"
    with pytest.raises(MismatchError, match="the same retain rows"):
        ClassificationEvaluator().with_reference(evaluation, other)
    del other["comparability"]["row_hashes"]  # as older files are: nothing says that the rows differ
    ClassificationEvaluator().with_reference(evaluation, other)


def test_of_very_many_probabilities_some_evenly_spread_images_are_kept(model, data, evaluation, monkeypatch):
    monkeypatch.setattr(classification, "MOST_NUMBERS", 200)
    evaluator = ClassificationEvaluator(attacks=False)
    first = evaluator.evaluate(model, data)
    other = ImageClassifier(seed=2)
    other.materialize(data.traits)
    second = evaluator.evaluate(other, data, first)
    assert first["per_sample"]["forget"]["packed_probabilities"]["shape"] == [20, 10]
    rows = [place * 60 // 20 for place in range(20)]
    pair = [naive(one, data, "forget")[0][rows] for one in (model, other)]
    expected = js_divergence(*pair).mean().item()
    assert second["summary"]["js_divergence"] == pytest.approx(expected, rel=1e-3)


def test_rows_and_json(model, data):
    found = ClassificationEvaluator(rows=10, attacks=False).evaluate(model, data)
    assert found["comparability"]["n"] == {"forget": 10, "retain": 10, "test": 10}
    assert found["per_sample"]["forget"]["index"] == [data.split.forget[6 * place] for place in range(10)]
    assert json.loads(json.dumps(found)) == found


def test_refused(model, data):
    with pytest.raises(ConfigurationError, match="`batch_size` must be at least 1"):
        ClassificationEvaluator(batch_size=0)

    class Empty:
        retained_classes = (0,)

        def evaluation_samples(self, name):
            return []

    with pytest.raises(DataError, match="`forget` must hold at least one image"):
        ClassificationEvaluator().evaluate(model, Empty())
