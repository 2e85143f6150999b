"""Fixtures of the metric tests: published per-sample logs, and two ranks in two threads."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A busy machine is no bug: examples have no time limit.
settings.register_profile("unlearnkit", deadline=None)
settings.load_profile("unlearnkit")

SETS = {
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
    "forget": "eval_log_forget.json",
}


def _columns(log):
    """Turn {metric: {row: value}} into {metric: [values in row order]}."""
    return {
        name: {
            metric: [rows[row] for row in sorted(rows, key=int)]
            for metric, rows in log[file].items()
            if isinstance(rows, dict)
        }
        for name, file in SETS.items()
    }


@pytest.fixture(scope="session")
def tofu_logs():
    """Per-sample columns of TOFU's logs: {"full" | "retain90": {set: {metric: [values]}}}."""
    folder = Path(os.environ.get("UNLEARNKIT_TEST_DATA", "")) / "tofu-logs"
    if "UNLEARNKIT_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("UNLEARNKIT_TEST_DATA does not name a folder with tofu-logs/")
    return {
        model: _columns(json.loads((folder / f"llama2-7b_{model}_wd0.01.json").read_text()))
        for model in ("full", "retain90")
    }


@pytest.fixture
def two_ranks():
    """Return a function that computes a metric on two ranks; only the collective is replaced, by two threads."""

    def run(make, feed):
        barrier = threading.Barrier(2, timeout=30)
        slots = [None, None]
        here = threading.local()

        def gather(tensor, group=None):
            slots[here.rank] = tensor.clone()
            barrier.wait()
            found = list(slots)
            barrier.wait()
            if len({part.dtype for part in found}) != 1:
                raise TypeError(f"ranks sent different types: {[part.dtype for part in found]}")
            return found

        results = [None, None]

        def work(rank):
            here.rank = rank
            try:
                metric = make(dist_sync_fn=gather, distributed_available_fn=lambda: True)
                feed(metric, rank)
                results[rank] = (metric.compute(), metric)
            except Exception as error:  # handed to the test's thread
                barrier.abort()
                results[rank] = error

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            if isinstance(result, Exception):
                raise result
        assert torch.equal(results[0][0], results[1][0])
        return results[0]

    return run
