"""DiffusionImages: what is held out, keys that are functions of (seed, round, row), real images to compare with."""

from __future__ import annotations

import pytest
import torch

from tests.datamodules.autoencoders import tiny_autoencoder
from unlearnkit.batches import ImageTraits
from unlearnkit.datamodules import DiffusionImages, ForgetSet
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.keyed_draws import row_keys


def ready(**arguments):
    data = DiffusionImages("digits", **arguments)
    data.setup()
    return data


def test_half_of_each_class_is_held_out_of_every_generators_training():
    data = ready(train_on="full")
    images, labels = data.held_out_images()
    whole = torch.bincount(data._train.labels)
    assert torch.equal(torch.bincount(labels), torch.tensor([round(0.5 * int(n)) for n in whole]))
    trained = set(data.samples("train"))
    assert trained == set(data.split.forget + data.split.retain)
    assert not trained & set(data._held_out) and len(trained) + len(images) == 1200
    assert set(data.collate(list(data.split.forget))["targets"].tolist()) == {3}
    assert data.retained_classes == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_what_is_held_out_is_part_of_the_split():
    one = ready()
    assert {ready(seed=1).split.hash, ready(train_on="retain").split.hash} == {one.split.hash}
    assert one.split.hash != ready(held_out=0.4).split.hash != ready(data_seed=1).split.hash
    assert ready(data_seed=1).held_out_digest != one.held_out_digest == ready(seed=3).held_out_digest
    other_class = ready(forget=ForgetSet(classes=[5]))
    assert other_class._held_out == one._held_out, "one judge serves all forgotten classes"


def test_fractions_and_counts_are_of_what_is_not_held_out():
    data = ready(forget=ForgetSet(classes=[3], count=20))
    assert len(data.split.forget) == 20 and not set(data.split.forget) & set(data._held_out)
    assert len(ready(forget=ForgetSet(fraction=0.1)).split.forget) == 60


def test_rows_are_those_of_the_whole_set():
    held = ready()._held_out
    free = [row for row in range(40) if row not in held]
    assert ready(forget=ForgetSet(rows=free)).split.forget == tuple(free)
    with pytest.raises(DataError, match=f"not held out. Found 1 that are, first row {held[0]}"):
        ready(forget=ForgetSet(rows=[*free, held[0]]))


def test_keys_are_functions_of_seed_round_and_row():
    data = ready(seed=4, micro_batch_size=10)
    for round_ in (0, 7):
        for side, parts in data.batch(round_).items():
            assert len(parts) > 1, side
            for part in parts:
                assert torch.equal(part["keys"], row_keys(4, round_, part["index"]))
    evaluated = data.collate([5, 9])
    assert torch.equal(evaluated["keys"], row_keys(4, -1, torch.tensor([5, 9])))
    probe = data.probe_batch("retain", 7)
    for part in probe:
        assert torch.equal(part["keys"], row_keys(4, -9, part["index"]))


def test_half_of_the_training_images_are_mirrored_where_asked_and_none_else():
    plain, mirrored = ready(), ready(flip=True)
    pair = [data.batch(3)["retain"] for data in (plain, mirrored)]
    assert torch.equal(pair[0]["keys"], pair[1]["keys"]) and torch.equal(pair[0]["index"], pair[1]["index"])
    same = (pair[0]["inputs"] == pair[1]["inputs"]).flatten(1).all(-1)
    turned = (pair[0]["inputs"].flip(-1) == pair[1]["inputs"]).flatten(1).all(-1)
    assert (same | turned).all() and 16 < same.sum() < 48
    for data in (plain, mirrored):
        assert torch.equal(data.collate([0, 1])["inputs"], data._train.images[:2])


def test_real_images_to_compare_with():
    data = ready()
    reference = data.reference_images([0, 4], 10)
    images, labels = data.real_images("test")
    assert torch.equal(reference[:10], images[labels == 0][:10])
    assert torch.equal(reference[10:], images[labels == 4][:10])
    assert len(data.reference_images([0])) == int((labels == 0).sum())
    retained = data.reference_images([1], 5, "retain")
    assert all(
        any(torch.equal(image, data._train.images[row]) for row in data.split.retain) for image in retained
    )
    assert len(data.reference_images([1], 5, "held_out")) == 5


def test_bad_input():
    for wrong in (-0.1, 1.0):
        with pytest.raises(ConfigurationError, match=r"`held_out` must lie in \[0, 1\)"):
            DiffusionImages(held_out=wrong)
    with pytest.raises(DataError, match="leave an image of each class on both sides"):
        ready(per_class=1)
    with pytest.raises(DataError, match="`held_out` must be above 0"):
        ready(held_out=0.0).held_out_images()
    with pytest.raises(DataError, match="Found 1000 of class '2'"):
        ready().reference_images([2], 1000)
    with pytest.raises(UnknownNameError, match="part"):
        ready().reference_images([2], 1, "train")
    with pytest.raises(UnknownNameError, match=r"forget\.classes"):
        ready(forget=ForgetSet(classes=["cat"]))


def test_latents_take_the_place_of_pixels(tmp_path):
    vae = tiny_autoencoder(tmp_path / "vae", channels=1)
    data = ready(vae=str(tmp_path / "vae"), latents=str(tmp_path / "kept"), per_class=6)
    pixels = ready(per_class=6)
    assert data.split.hash == pixels.split.hash and data.pixel_traits == pixels.traits
    assert data.traits == ImageTraits(classes=10, channels=4, height=4)
    for rows in ([3, 7, 50], [60, 61]):
        found, plain = data.collate(rows), pixels.collate(rows)
        mean = vae.encode(plain["inputs"] / 127.5 - 1).latent_dist.mean
        torch.testing.assert_close(found["inputs"], mean * vae.config.scaling_factor)
        assert torch.equal(found["keys"], plain["keys"]) and torch.equal(found["targets"], plain["targets"])
    assert data.batch(0)["forget"]["inputs"].dtype == torch.float32
    assert data.reference_images([1]).dtype == torch.uint8 and data.held_out_images()[0].dtype == torch.uint8
    assert data.target_recipe == "dit/finetune.yaml"
    with pytest.raises(ConfigurationError, match="`flip` must be false"):
        DiffusionImages(flip=True, vae="vae")


def test_its_own_recipe():
    assert DiffusionImages().target_recipe == "ddpm/finetune.yaml"
