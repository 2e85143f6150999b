"""Candidates: the forget side of the run's data module, again and again."""

from __future__ import annotations

import pytest
import torch

from tests.modules.tiny import loader, pairs, quiet, tiny_lm
from unlearnkit.datamodules import PairedDatasets
from unlearnkit.errors import ConfigurationError
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.candidates import Candidates
from unlearnkit.strategies import FixedWeights
from unlearnkit.testing import ToyClassifier, toy_dataset


class Asking(FixedWeights):
    """Keeps the rows of the candidates of each epoch, twice."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def begin_epoch(self, host, candidates):
        for _ in range(2):
            self.seen.append(torch.cat([batch["index"] for batch in candidates]).tolist())


def test_every_forget_sample_comes_once_each_time():
    strategy = Asking()
    data = PairedDatasets(toy_dataset(7), toy_dataset(9, seed=1), batch_size=3)
    module = UnlearningModule(ToyClassifier(), strategy=strategy)
    quiet(max_epochs=2).fit(module, data)
    assert strategy.seen == [list(range(7))] * 4


def test_a_loader_alone_is_refused_where_candidates_are_asked_for():
    module = UnlearningModule(tiny_lm(), strategy=Asking())
    with pytest.raises(ConfigurationError, match=r"batches\('forget'\).*Found NoneType.*PairedDatasets"):
        quiet().fit(module, loader(pairs(2)))


def test_other_strategies_ask_for_none():
    module = UnlearningModule(tiny_lm(), strategy=FixedWeights())
    quiet().fit(module, loader(pairs(2)))
    with pytest.raises(ConfigurationError, match="Found NoneType"):
        next(iter(Candidates(module.trainer)))
