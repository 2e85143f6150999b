"""A comparison on generated preferences, as small as it gets: its tables have the numbers of alignment."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from unlearnkit.artifacts import read_json
from unlearnkit.packaged import CONFIGS
from unlearnkit.study.comparison import compare
from unlearnkit.study.matched import matched_table
from unlearnkit.study.table import print_tables, summary

COMPARISON = """
name: preferences
benchmark: tofu
data:
  class_path: Preferences
  init_args: {pairs: 90, prompts: 30, data_seed: 0, vocab_size: 300, max_length: 96}
model:
  class_path: CausalLM
  init_args: {hidden_size: 16, layers: 1, heads: 2, max_length: 96}
evaluator:
  class_path: PreferencesEvaluator
  init_args:
    judge:
      class_path: unlearnkit.alignment.RuleJudge
      init_args: {harmful: [poison]}
    max_new_tokens: 8
methods: [tofu/npo, FOLDER/ipo.yaml, FOLDER/rloo.yaml]
seeds: [0]
rounds: 2
finetune: {epochs: 1, lr: 3.0e-3}
path: {every: 1, rows: 3}
accelerator: cpu
"""

METHOD = """# NAME: a rival.
model:
  class_path: UnlearningModule
  init_args:
    model: {class_path: CausalLM}
    forget: OBJECTIVE
    retain: {class_path: NLL}
    strategy: {class_path: ForgetOnly}
trainer: {max_steps: 2}
"""

OBJECTIVES = {
    "IPO": "{class_path: DPO, init_args: {loss: ipo}}",
    "RLOO": "{class_path: RLOO, init_args: {policy: {class_path: unlearnkit.alignment.PolicyGradientJ, "
    "init_args: {samples: 2, length: 6}}}}",
}


def test_it_runs_and_reports_alignment_beside_forgetting(tmp_path: Path) -> None:
    for name, objective in OBJECTIVES.items():
        text = METHOD.replace("NAME", name).replace("OBJECTIVE", objective)
        (tmp_path / f"{name.lower()}.yaml").write_text(text)
    (tmp_path / "comparison.yaml").write_text(COMPARISON.replace("FOLDER", str(tmp_path)))
    results = compare(str(tmp_path / "comparison.yaml"), out=str(tmp_path / "out"))
    assert results["evaluation"] == "preferences"
    assert results["protocol"]["data"].startswith(
        "generated preferences (90 pairs, 30 prompts), negative ratio"
    )
    rows = {row["method"]: row["summary"] for row in results["rows"]}
    assert list(rows) == ["retrained", "target", "npo", "ipo", "rloo"]
    assert all(row["reward"] is not None and row["win_rate"] is not None for row in rows.values())
    moved = {name: row.get("distance_from_start") for name, row in rows.items()}
    assert moved["target"] is None, "where methods start"
    assert all(moved[name] > 0 for name in ("npo", "ipo", "rloo"))
    kept = read_json(tmp_path / "out" / "seed0" / "ipo" / "evaluation.json")
    assert kept["comparability"]["judge"] == "rules" and kept["comparability"]["reward"] == "the data's own"
    path = next(row["path"] for row in results["rows"] if row["method"] == "ipo")
    assert [point["round"] for point in path] == [0, 1, 2] and path[-1]["kl_from_start"] > 0

    columns = [column.name for column in summary(results).columns]
    assert {"reward ↑", "win rate ↑", "forget log-probability ~", "KL from the start ↓"} <= set(columns)
    results["rows"][0]["path"][0]["forget_log_prob"] = 0.0  # so that both have reached it
    title = matched_table(results).title
    assert "first point with forget log-probability" in title and title.endswith("ranked by reward")
    text = io.StringIO()
    print_tables(results, Console(file=text, width=80))
    assert "At matched forgetting" in text.getvalue() and "rew." in text.getvalue()


@pytest.mark.filterwarnings("ignore:`lam` must be above:unlearnkit.errors.UnlearnKitWarning")
def test_the_quickstart_in_small(tmp_path: Path) -> None:
    """DPO and RLOO get pairs, the others negatives; U2A makes all its epochs, each of the comparison's rounds."""
    options: dict[str, Any] = {
        "config": "preferences/quickstart.yaml",
        "out": str(tmp_path / "run"),
        "data__pairs": 160,
        "data__prompts": 40,
        "data__vocab_size": 400,
        "model__hidden_size": 16,
        "model__layers": 1,
        "model__heads": 2,
        "evaluator__max_new_tokens": 4,
        "finetune__epochs": 1,
        "rounds": 2,
        "path__every": 2,
        "path__rows": 2,
    }
    results = compare(**options, methods=["dpo", "rloo", "u2a_gdiff"])
    rows = {row["method"]: row for row in results["rows"]}
    assert results["protocol"]["data_options"] == {
        "dpo": {"forget_side": "pairs"},
        "rloo": {"forget_side": "pairs"},
        "u2a_gdiff": {"epoch_length": 2},
    }
    assert rows["dpo"]["rounds"] == rows["rloo"]["rounds"] == 2
    assert 6 <= rows["u2a_gdiff"]["rounds"] <= 22 and rows["u2a_gdiff"]["rounds"] % 2 == 0
    written = yaml.safe_load((tmp_path / "run" / "seed0" / "dpo" / "config.yaml").read_text())
    assert written["method"]["forget_side"] == "pairs"
    keys = {name: row["key"] for name, row in rows.items()}
    # Another side of the data is another run.
    own = tmp_path / "dpo.yaml"
    text = (CONFIGS / "preferences" / "dpo.yaml").read_text()
    own.write_text(text.replace("forget_side: pairs", "forget_side: forget"))
    changed = compare(**options, methods=[str(own)])
    new = {row["method"]: row["key"] for row in changed["rows"]}
    assert new["target"] == keys["target"] and new["dpo"] != keys["dpo"]
