"""Networks from a folder, by the library's own code path; what happens where they are not on disk."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from unlearnkit.errors import UnlearnKitWarning
from unlearnkit.metrics.encoders import (
    NLI_MODEL,
    SENTENCE_ENCODER,
    NetworkJudge,
    SentenceSimilarity,
    find_judge,
    find_similarity,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ada", "obi", "born", "in", "lagos", "rome"]
PAIRS = [("ada born in lagos", "lagos"), ("rome", "ada obi"), ("lagos", "lagos")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def make(kind, **settings):
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        path = tmp_path_factory.mktemp("network")
        kind(BertConfig(vocab_size=len(WORDS), **sizes, **settings)).save_pretrained(path)
        vocabulary = path / "vocab.txt"
        vocabulary.write_text("\n".join(WORDS))
        BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(path)
        return str(path)

    return make


def test_sentence_embeddings_are_means_over_tokens(folder):
    path = folder(BertModel)
    chosen = find_similarity(path)
    assert chosen.describe() == {"asked": path, "used": path, "why": None}
    found = chosen.used(PAIRS)
    network, tokenizer = chosen.used.network, chosen.used.tokenizer

    def alone(text):
        with torch.no_grad():
            return network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)

    expected = [max(0.0, float(torch.cosine_similarity(alone(a), alone(b), dim=0))) for a, b in PAIRS]
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[2] == pytest.approx(1.0)
    assert chosen.used([]) == []
    assert isinstance(chosen.used, SentenceSimilarity)


def test_a_network_judges_pairs(folder):
    labels = {0: "entailment", 1: "neutral", 2: "contradiction"}
    path = folder(BertForSequenceClassification, id2label=labels, label2id={v: k for k, v in labels.items()})
    chosen = find_judge(path)
    assert isinstance(chosen.used, NetworkJudge)
    with torch.no_grad():
        expected = [
            int(chosen.used.network(**chosen.used.tokenizer(a, b, return_tensors="pt")).logits.argmax()) == 0
            for a, b in PAIRS
        ]
    assert chosen.used(PAIRS) == expected
    assert chosen.used([]) == []


def test_a_classifier_without_that_label_is_no_judge(folder):
    path = folder(BertForSequenceClassification, num_labels=2)
    with pytest.warns(
        UnlearnKitWarning, match="could not be used .*label_0, label_1, not entailment.* Give the"
    ):
        assert find_judge(path).used.name == "lexical proxy"


@pytest.mark.parametrize(
    ("find", "name", "argument", "stand_in"),
    [
        (find_similarity, SENTENCE_ENCODER, "similarity", "character trigrams"),
        (find_judge, NLI_MODEL, "entailment", "lexical proxy"),
    ],
)
def test_what_is_not_on_disk_falls_back_and_says_so(find, name, argument, stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.warns(
        UnlearnKitWarning, match=f"`{argument}` names '{name}'.*{stand_in}.*hf download {name}"
    ):
        found = find(name).describe()
    assert (found["asked"], found["used"]) == (name, stand_in)
    assert found["why"].startswith(f"{name} could not be loaded")


def test_the_stand_ins_are_no_fallback():
    assert find_similarity("character trigrams").why is find_judge("lexical proxy").why is None
