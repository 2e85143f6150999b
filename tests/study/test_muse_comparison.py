"""A comparison on fictitious news, as small as it gets: its table has MUSE's numbers."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.artifacts import read_json
from unlearnkit.study.comparison import compare
from unlearnkit.study.table import summary


def test_the_packaged_quickstart_runs_and_reports_muses_numbers(tmp_path: Path) -> None:
    results = compare(
        "muse/quickstart.yaml",
        methods=["gdiff", "npo"],
        rounds=2,
        out=str(tmp_path / "out"),
        data__articles=10,
        data__vocab_size=300,
        model__hidden_size=16,
        model__layers=1,
        model__heads=2,
        model__max_length=384,
        finetune__epochs=1,
        path__every=1,
    )
    assert results["evaluation"] == "muse"
    assert results["protocol"]["data"] == "generated news (10 articles), raw"
    rows = {row["method"]: row for row in results["rows"]}
    assert list(rows) == ["retrained", "target", "gdiff", "npo"]
    assert rows["retrained"]["summary"]["privleak"] == 0
    assert all(row["summary"]["privleak"] is not None for row in rows.values())
    assert [point["round"] for point in rows["npo"]["path"]] == [0, 1, 2]
    assert "forget verbatim memorisation ~" in [column.name for column in summary(results).columns]
    kept = read_json(tmp_path / "out" / "seed0" / "npo" / "evaluation.json")
    assert kept["comparability"]["n"]["verbmem"] == 1 and kept["comparability"]["generated"]
