"""Tables of images open with or without the hub's metadata; what does not fit is said with its file or row."""

from __future__ import annotations

import io
import json

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unlearnkit.datamodules.image_tables import open_table
from unlearnkit.errors import DataError, DataNotFoundError

NAMES = datasets.ClassLabel(names=["cat", "dog"])


def content(seed=0):
    found = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(found, "PNG")
    return found.getvalue()


def hub(folder, labels=(0, 1, 0), cells=None, kind=NAMES, readme=None):
    folder.mkdir(exist_ok=True)
    features = datasets.Features({"img": datasets.Image(), "label": kind})
    cells = cells or [{"bytes": content(row), "path": None} for row in range(len(labels))]
    table = datasets.Dataset.from_dict({"img": cells, "label": list(labels)}, features=features)
    for split in ("train", "test"):
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    if readme is not None:
        (folder / "README.md").write_text(f"---\n{readme}\n---\n")
    return str(folder)


def test_rows_come_with_their_place_content_and_class(tmp_path):
    table = open_table(hub(tmp_path), "train")
    assert list(table.pictures) == [(f"train, row {row}", content(row)) for row in range(3)]
    assert (table.labels, table.classes) == ([0, 1, 0], ["cat", "dog"])


def test_names_as_labels_are_classes(tmp_path):
    table = open_table(hub(tmp_path, ["b", "a", "b"], kind=datasets.Value("string")), "test")
    assert (table.labels, table.classes) == ([1, 0, 1], ["a", "b"])


def test_a_table_without_metadata(tmp_path):
    source = hub(tmp_path)
    for path in tmp_path.glob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    table = open_table(source, "train")
    assert [len(picture) for _, picture in table.pictures] == [len(content(row)) for row in range(3)]
    assert (table.labels, table.classes) == ([0, 1, 0], ["0", "1"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": [0, None, 1]}, r"a label for each image. Found none in .*: train, row 1\. Give"),
        ({"labels": [0, 1, -1], "kind": datasets.Value("int64")}, r"numbers from 0 on.*Found -1 in .* row 2"),
        ({"labels": [0, 0.5, 1], "kind": datasets.Value("float64")}, r"whole numbers.*Found 0.0 in .*row 0"),
        (
            {"readme": "dataset_info:\n  features:\n  - name: img\n    dtype: image\n  - name: label\n    dtype:\n"
             "      class_label:\n        names:\n          '0': cat"},
            r"from 0 to 0, as its 1 names of classes say, for labels. Found 1 in .*: train, row 1. Use",
        ),
        ({"readme": "dataset_info: ["}, r"README.md cannot be used \(ParserError"),
        ({"readme": "dataset_info:\n  features:\n  - dtype: image"}, r"README.md cannot be used \(KeyError: 'name'"),
        (
            {"readme": "configs:\n- config_name: default\n  data_files: nothere*"},
            r"README.md cannot be used \(DataFilesNotFoundError.*remove a description that is not of these data",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, arguments, words):
    with pytest.raises(DataError, match=words):
        open_table(hub(tmp_path, **arguments), "train")


def test_a_row_without_an_image_is_named(tmp_path):
    table = open_table(hub(tmp_path, cells=[{"bytes": content(), "path": None}, None, None]), "train")
    with pytest.raises(DataError, match=r"an image in each row. Found none in .*: train, row 1\."):
        list(table.pictures)


def test_a_damaged_file_is_named(tmp_path):
    source = hub(tmp_path / "cut")
    path = tmp_path / "cut" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(
        DataError, match=r"of which train-00000-of-00001.parquet cannot be used \(Arrow.*Fetch"
    ):
        open_table(source, "train")
    source = hub(tmp_path / "infos")
    (tmp_path / "infos" / "dataset_infos.json").write_text(json.dumps({"default": {"features": {}}})[:-5])
    with pytest.raises(DataError, match=r"of which dataset_infos.json cannot be used \(JSONDecodeError"):
        open_table(source, "train")
    source = hub(tmp_path / "metadata")
    for path in (tmp_path / "metadata").glob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": b'{"info'}), path)
    with pytest.raises(DataError, match=r"of which test-00000-of-00001.parquet cannot be used"):
        open_table(source, "train")


def test_an_empty_folder_is_no_data_set(tmp_path):
    with pytest.raises(DataNotFoundError, match="neither a folder with images nor within reach"):
        open_table(str(tmp_path), "train")
