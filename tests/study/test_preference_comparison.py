"""A comparison on generated preferences, as small as it gets: its tables have the numbers of alignment."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from unlearnkit.artifacts import read_json
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
