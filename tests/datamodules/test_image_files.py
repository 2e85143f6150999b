"""Image data sets are read from three kinds of place, and what is wrong with a file is said with its place."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from unlearnkit.datamodules.image_files import load_images
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError

RNG = np.random.default_rng(0)


def picture(mode="RGB", size=6):
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    return Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8), mode)


def as_bytes(image):
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def hub(folder, images, labels, label="label", splits=("train", "test")):
    features = datasets.Features(
        {"img": datasets.Image(), label: datasets.ClassLabel(names=["cat", "dog"])},
    )
    cells = [{"bytes": content, "path": None} for content in images]
    table = datasets.Dataset.from_dict({"img": cells, label: labels}, features=features)
    for split in splits:
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return str(folder)


def tree(folder, images, parts=("train", "test")):
    for part in parts:
        for number, image in enumerate(images):
            path = folder / part / ("cat" if number % 2 == 0 else "dog") / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return str(folder)


@pytest.mark.parametrize("label", ["label", "fine_label"])
def test_the_hubs_layout(tmp_path, label):
    images = [picture() for _ in range(4)]
    found = load_images(hub(tmp_path, map(as_bytes, images), [0, 1, 1, 0], label))
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [0, 1, 1, 0] and len(found) == 4
    expected = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    assert torch.equal(found.images, expected) and found.images.dtype == torch.uint8


def test_a_validation_part_stands_in_for_the_test_part(tmp_path):
    source = hub(tmp_path, [as_bytes(picture())] * 2, [0, 1], splits=("train", "valid"))
    assert len(load_images(source, "test")) == 2


def test_folders_of_classes(tmp_path):
    images = [picture() for _ in range(4)]
    found = load_images(tree(tmp_path, images), "test")
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(found.images[1], torch.from_numpy(np.asarray(images[2]).copy()).permute(2, 0, 1))


def test_grey_images(tmp_path):
    only_grey = load_images(tree(tmp_path / "grey", [picture("L") for _ in range(3)]))
    assert only_grey.images.shape == (3, 1, 6, 6)
    mixed = load_images(tree(tmp_path / "mixed", [picture("L"), picture(), picture("L")]))
    assert mixed.images.shape == (3, 3, 6, 6)
    assert torch.equal(mixed.images[0, 0], mixed.images[0, 2]), "three channels of one grey"


def test_16_bits_of_grey_become_8(tmp_path):
    deep = RNG.integers(0, 65536, (6, 6), dtype=np.uint16)
    deep[0, :2] = 0, 65535
    found = load_images(tree(tmp_path / "deep", [Image.fromarray(deep), picture("L")]))
    assert found.images.shape == (2, 1, 6, 6)
    assert np.array_equal(found.images[0, 0].numpy(), np.floor(deep / 257 + 0.5))
    content = io.BytesIO()
    Image.fromarray(deep.astype(np.float32)).save(content, "TIFF")
    (tmp_path / "float").mkdir()
    source = hub(tmp_path / "float", [content.getvalue()] * 2, [0, 1])
    with pytest.raises(DataError, match=r"train, row 0 \(ValueError: pixels of type 'F' have no known range"):
        load_images(source)


def test_oblong_images_need_a_size_that_keeps_the_middle(tmp_path):
    pixels = RNG.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    source = tree(tmp_path, [Image.fromarray(pixels)] * 2)
    with pytest.raises(
        DataError, match=r"square images.*Found 10 x 6 at train/cat/0\.png.*Set e\.g\. size=6"
    ):
        load_images(source)
    found = load_images(source, size=6)
    assert np.array_equal(found.images[0].permute(1, 2, 0).numpy(), pixels[:, 2:8])


def test_a_corrupt_image_is_named(tmp_path):
    content = as_bytes(picture())
    source = hub(tmp_path / "hub", [content, content[: len(content) // 2], content], [0, 1, 0])
    with pytest.raises(DataError, match=r"decoded. Found one that cannot in .*: train, row 1 \("):
        load_images(source)
    source = tree(tmp_path / "tree", [picture(), picture()])
    (tmp_path / "tree" / "train" / "dog" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train/dog/1\.png \(UnidentifiedImageError"):
        load_images(source)


def test_sizes(tmp_path):
    source = tree(tmp_path, [picture(), picture(size=9)])
    with pytest.raises(
        DataError, match=r"one size.*Found 9 x 9 at train/dog/1\.png.*after 6 x 6.*Set e\.g\. size=64"
    ):
        load_images(source)
    assert load_images(source, size=4).images.shape == (2, 3, 4, 4)
    with pytest.raises(ConfigurationError, match="`size` must be at least 1. Found 0"):
        load_images(source, size=0)


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataNotFoundError, match="neither a folder with images nor within reach"):
        load_images("nobody/nothing")
    with pytest.raises(
        DataNotFoundError, match="part called test or valid or validation or val. Found only train"
    ):
        load_images(tree(tmp_path, [picture()] * 2, parts=("train",)), "test")


def test_a_set_without_images(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"], "label": [0]}).to_parquet(
        tmp_path / "train-00000-of-00001.parquet"
    )
    with pytest.raises(DataError, match=r"a column of images and one of labels. Found \['label', 'text'\]"):
        load_images(str(tmp_path))


def test_digits():
    train, test = load_images("digits", "train"), load_images("digits", "test")
    assert (len(train), len(test)) == (1200, 597)
    assert train.images.max() == 255 and train.images.min() == 0
    assert load_images("digits", "train") is train, "read once"
    assert load_images("digits", "test", 16).images.shape == (597, 1, 16, 16)


def test_real_sets_in_the_hubs_layout(test_data):
    cifar = load_images(str(test_data / "cifar10"), "test")
    assert cifar.images.shape == (10_000, 3, 32, 32) and cifar.classes[5] == "dog"
    tiny = load_images(str(test_data / "tiny-imagenet"), "test")
    assert tiny.images.shape == (5_000, 3, 64, 64) and len(tiny.classes) == 200
