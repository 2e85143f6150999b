"""The comparison on people in small: paper 002's columns, each method with its own batches."""

from __future__ import annotations

import json
from pathlib import Path

from unlearnkit.study import compare
from unlearnkit.study.table import summary


def test_the_quickstart_in_small(tmp_path: Path) -> None:
    results = compare(
        "people/quickstart.yaml",
        out=str(tmp_path / "run"),
        methods=["idk_gd", "me_gd_dual_optim_8bit"],
        data__people=2,
        data__neighbours=4,
        data__questions=2,
        data__vocab_size=400,
        data__train_batch_size=4,
        model__hidden_size=16,
        model__layers=1,
        model__heads=2,
        finetune__epochs=1,
        rounds=1,
        path__every=1,
        path__rows=2,
    )
    assert [row["label"] for row in results["rows"]] == [
        "retrained", "target", "IDK+GD", "ME+GD + DualOptim 8 bit",
    ]  # fmt: skip
    assert results["evaluation"] == "people"
    assert results["protocol"]["data"] == "generated people (2 to forget, 4 neighbours, 2 questions each)"
    names = [column.name for column in summary(results).columns]
    assert [name.partition(" (")[2][:3] for name in names[1:6]] == ["UFE", "TFE", "MC)", "OVR", "OVR"]
    sizes = results["protocol"]["batch_sizes"]
    assert sizes["idk_gd"]["retain_batch_size"] == 20
    assert sizes["me_gd_dual_optim_8bit"]["retain_batch_size"] == 100
    for row in results["rows"]:
        assert row["n"] == {"forget": 4, "retain": 4}
        assert row["summary"]["overall_targeted"] is not None
    split = json.loads((tmp_path / "run" / "seed0" / "idk_gd" / "split.json").read_text())
    assert split["name"] == "people" and len(split["retain"]) == 4
