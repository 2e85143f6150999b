"""Images: one split for all runs, noise of its own seed, bytes until the device, draws by round."""

from __future__ import annotations

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from PIL import Image

from unlearnkit.datamodules import ForgetSet, Images, ImageSet
from unlearnkit.datamodules.images import PACKAGED, _of_one_kind
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.models import ImageClassifier
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.packaged import CONFIGS
from unlearnkit.strategies import NGDiff


def ready(**arguments):
    data = Images("digits", **arguments)
    data.setup()
    return data


def test_one_split_serves_all_runs_and_seeds():
    splits = {
        ready(train_on=role, seed=seed).split.hash for role in ("full", "retain", "pair") for seed in (0, 1)
    }
    assert len(splits) == 1
    assert ready(forget=ForgetSet(fraction=0.1, seed=1)).split.hash not in splits
    assert ready(label_noise=0.1).split.hash not in splits, "other labels are other data"
    assert ready(label_noise=0.1, data_seed=1).split.hash != ready(label_noise=0.1).split.hash


def test_parts():
    data = ready(forget=ForgetSet(classes=[3]), per_class=20)
    assert len(data.samples("forget")) == 20 and len(data.samples("retain")) == 180
    assert len(ready(per_class=20, train_on="full").samples("train")) == 200
    assert data.evaluation_names == ["forget", "retain", "test"]
    assert sum(len(batch["targets"]) for batch in data.batches("test")) == 597
    assert data.traits.classes == 10 and data.traits.channels == 1 and data.traits.height == 8
    assert data.classes[3] == "3"


def test_a_batch_holds_bytes_labels_and_rows():
    data = ready(forget=ForgetSet(classes=[3]))
    batch = data.batch(0)
    assert batch["forget"]["inputs"].dtype == torch.uint8 and batch["forget"]["inputs"].shape == (64, 1, 8, 8)
    assert set(batch["forget"]["targets"].tolist()) == {3}
    assert set(batch["retain"]["index"].tolist()) <= set(data.split.retain)
    test = next(data.batches("test"))
    assert test["index"].min() >= data.split.rows, "test rows are counted on"


def test_noise_is_in_training_labels_only_and_never_the_true_one():
    noisy, clean = ready(label_noise=0.2), ready()
    changed = noisy._train.labels != clean._train.labels
    assert 0.15 < changed.double().mean() < 0.25
    assert torch.equal(noisy._test.labels, clean._test.labels)
    by_class = ready(label_noise=0.2, forget=ForgetSet(classes=[3]))
    assert by_class.split.forget == ready(forget=ForgetSet(classes=[3])).split.forget, (
        "classes are the true ones"
    )


def test_augmentation_is_a_function_of_seed_and_round():
    data, again = ready(augment="crop_flip"), ready(augment="crop_flip")
    first = data.batch(3)["retain"]["inputs"]
    assert torch.equal(first, again.batch(3)["retain"]["inputs"])
    plain = ready().batch(3)["retain"]["inputs"]
    assert not torch.equal(first, plain)
    assert torch.equal(data.probe_batch("retain", 3)["inputs"], ready().probe_batch("retain", 3)["inputs"])
    parts = ready(augment="crop", micro_batch_size=16).batch(0)["retain"]
    assert [len(part["targets"]) for part in parts] == [16] * 4


@pytest.mark.parametrize("arguments", [{}, {"micro_batch_size": 7}])
def test_two_processes_augment_as_one_does(arguments, monkeypatch):
    data = ready(augment="crop_flip", forget_batch_size=33, **arguments)

    def images(place):
        monkeypatch.setattr(data, "_place", lambda: place)
        parts = data.batch(2)["forget"]
        return [
            (row, image)
            for part in (parts if isinstance(parts, list) else [parts])
            for row, image in zip(part["index"].tolist(), part["inputs"], strict=True)
        ]

    one, two = dict(images((0, 1))), [*images((0, 2)), *images((1, 2))]
    assert len(two) == 33 and {row for row, _ in two} == set(one)
    assert all(torch.equal(image, one[row]) for row, image in two)


class Seen(UnlearningModule):
    def on_train_batch_start(self, batch, batch_idx):
        super().on_train_batch_start(batch, batch_idx)
        self.seen.append(batch["retain"]["inputs"].clone())


def test_a_trainer_gets_the_batches_of_the_rounds_and_validates_without_augmentation():
    data = Images("digits", augment="crop_flip", epoch_length=2)
    module = Seen(ImageClassifier(), forget=AscentNLL(), retain=NLL(), strategy=NGDiff())
    module.seen = []
    trainer = Trainer(
        max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
        enable_model_summary=False, limit_val_batches=1,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    expected = ready(augment="crop_flip", epoch_length=2)
    assert len(module.seen) == 3
    for round_, images in enumerate(module.seen):
        assert torch.equal(images, expected.batch(round_)["retain"]["inputs"]), f"round {round_}"
    whole = trainer.predict(module, data)
    assert [len(part) for part in whole] == [2, 17, 10], "batches of forget, retain and test"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"label_noise": 1.0}, ConfigurationError, "`label_noise` must lie in"),
        ({"per_class": 0}, ConfigurationError, "`per_class` must be at least 1"),
        ({"augment": "flip"}, UnknownNameError, "`augment` must be one of"),
        ({"forget": ForgetSet(classes=["eleven"])}, UnknownNameError, "`forget.classes` must be one of"),
        ({"forget": ForgetSet(classes=[3], count=500)}, DataError, "Found 500 of class '3'"),
    ],
)
def test_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        ready(**arguments)


def test_before_setup_there_is_nothing():
    with pytest.raises(ConfigurationError, match=r"Call \.setup\(\) first"):
        _ = Images("digits").classes


def folders(root, parts, mode="RGB", size=6):
    """Write ``part -> classes``, two pictures a class."""
    for part, classes in parts.items():
        for name in classes:
            for number in range(2):
                path = root / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new(mode if part == "train" else "RGB", (size, size), number * 90).save(path)
    return str(root)


def test_a_test_part_with_other_classes_is_refused(tmp_path):
    source = folders(tmp_path, {"train": ["cat", "dog"], "test": ["dog"]})
    with pytest.raises(DataError, match=r"same classes.*Found \['cat', 'dog'\] and \['dog'\]"):
        Images(source, forget=ForgetSet(rows=[0])).setup()


def test_a_test_part_without_labels_is_refused():
    train = ImageSet(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
    test = ImageSet(train.images, torch.tensor([0, -1]), train.classes)
    with pytest.raises(DataError, match="label from 0 to 1.*Found -1 at row 1 of the test part of 'x'"):
        _of_one_kind(train, test, "x")


def test_sizes_and_channels_of_both_parts():
    colour, grey = (torch.zeros(2, channels, 4, 4, dtype=torch.uint8) for channels in (3, 1))
    train = ImageSet(colour, torch.tensor([0, 1]), ("a", "b"))
    assert _of_one_kind(train, ImageSet(grey, train.labels, train.classes), "x").images.shape == (2, 3, 4, 4)
    with pytest.raises(DataError, match=r"same channels, height and width.*\[1, 4, 4\] and \[3, 4, 4\]"):
        _of_one_kind(ImageSet(grey, train.labels, train.classes), train, "x")


def test_the_first_classes_alone() -> None:
    data = Images("digits", first_classes=3, per_class=10)
    data.setup()
    assert (data.classes, data.traits.classes) == (("0", "1", "2"), 3)
    test = torch.cat([batch["targets"] for batch in data.batches("test")])
    assert test.unique().tolist() == [0, 1, 2]
    with pytest.raises(ConfigurationError, match="`first_classes` must be at least 2. Found 1"):
        Images("digits", first_classes=1)
    with pytest.raises(
        DataError, match="`first_classes` must be at most the number of classes. Found 11 of the 10"
    ):
        Images("digits", first_classes=11).setup()


@pytest.mark.parametrize("source", PACKAGED)
def test_the_recipe_of_a_target_is_packaged_for_these_data(source: str) -> None:
    recipe = Images(source).target_recipe
    assert yaml.safe_load((CONFIGS / recipe).read_text())["data"]["init_args"]["source"] == source


def test_data_from_elsewhere_are_named_beside_the_recipe() -> None:
    assert Images("a/tiny-imagenet").target_recipe == (
        "tiny_imagenet/finetune.yaml --data.source=a/tiny-imagenet"
    )
    assert Images("my/birds").target_recipe == "cifar10/finetune.yaml --data.source=my/birds"
