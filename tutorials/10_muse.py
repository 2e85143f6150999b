# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10  What does a model still say about news that it was told to forget?
#
# > **Time** 1 minute to run, 50 minutes to read. **Hardware** any CPU.
# > **You need** tutorial 01 (target, retrained reference, membership attacks), 03 (NGDiff), PyTorch.
# > **Afterwards** you can say which number answers which of MUSE's six questions, and what its ideal is; write
# > each of them in plain Python (ROUGE-L in its three variants, Min-40 %, area and PrivLeak, the questions with
# > prefix and cut, the blocks of text); and read tables 2 and 6 of paper 001 with open eyes.
# > **Papers** Shi et al. 2024 (MUSE); 001, sections 4.4 and 4.5, tables 2 and 6, appendix E.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
import re
from statistics import fmean

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from nltk.stem.porter import PorterStemmer
from torch.nn.functional import cross_entropy, logsigmoid

from unlearnkit import NLL, NPO, AscentNLL, FixedWeights, MUSEEvaluator, NGDiff, PlainHost
from unlearnkit.artifacts import read_json
from unlearnkit.batches import QARow
from unlearnkit.datamodules.text_blocks import text_blocks
from unlearnkit.evaluators.muse_prompts import Prompter
from unlearnkit.evaluators.muse_requests import sustainability
from unlearnkit.metrics.functional import attack_auc, first_answer, rouge, unstemmed_rouge_l_f
from unlearnkit.plots import ROLES, method_styles, notebook_axes, over_rounds
from unlearnkit.plots.paths import label_of, methods_of, rows_of, value_of
from unlearnkit.study.grid import Spread
from unlearnkit.study.matched import matched
from unlearnkit.synthetic import fictitious_news
from unlearnkit.testing.exercise import Case, check
from unlearnkit.testing.lesson import fresh, learned, news

# %% [markdown]
# ## The picture: how does the article go on?
#
# A newspaper wrote about events that never happened, in a country that does not exist. A small Llama (0.1
# million parameters) read 24 of its articles until it knew them by heart, and cards with questions about
# them: the **target**. Three articles, with their cards, are to be forgotten. A **retrained** model never
# read those. Both are given the beginning of one of the three, and go on.
#
# Blue words stand in the true article, in this order.


# %%
def words(text):
    """Lower-case, split at everything but a-z and 0-9."""
    return re.sub("[^a-z0-9]+", " ", text.lower()).split()


def common(truth, said):
    """Return the places in `said` of a longest common subsequence of two lists of words."""
    rows = [[()] * (len(said) + 1)]  # rows[i][j]: that of the first i and the first j words
    for word in truth:
        rows.append([()])
        for j, other in enumerate(said):
            grown = (*rows[-2][j], j) if word == other else ()
            rows[-1].append(max(grown, rows[-1][j], rows[-2][j + 1], key=len))
    return rows[-1][-1]


# %%
EPOCHS, data = 34, news()
data.setup()
evaluator, learn = MUSEEvaluator(examples=0), {"target": "full", "retrained": "retain"}
models = {name: learned(news(what), notebook, EPOCHS, max_length=256) for name, what in learn.items()}
found = {name: evaluator.evaluate(model, data) for name, model in models.items()}


def show(ax, title, text, truth):
    on, (k, x, y) = set(common(words(truth), words(text))), (0, 0, 0)
    for word in text.split():
        x, y = (x, y) if x + len(word) < 76 else (0, y - 1)
        color = "#0072B2" if k in on and words(word) else "#777777"
        ax.text(x, y, word, family="monospace", size=9, color=color, weight="bold" if k in on else "normal")
        x, k = x + len(word) + 1, k + len(words(word))
    ax.set(xlim=(0, 78), ylim=(-4.4, 1))
    ax.set_title(title, loc="left")
    ax.axis("off")


# %%
_, panels = plt.subplots(3, 1, figsize=(6, 3.9))
said = {name: one["per_sample"]["verbmem"] for name, one in found.items()}
truth = said["target"]["truth"][2]
show(panels[0], "what the paper wrote (" + said["target"]["question"][2].split(".")[0] + ")", truth, truth)
for ax, name in zip(panels[1:], said, strict=True):
    show(ax, f"the {name} model", said[name]["generation"][2].strip(), truth)
verbatim = {name: one["summary"]["forget_verbmem"] for name, one in found.items()}
assert verbatim["target"] > 0.7 and verbatim["retrained"] < 0.35
print("the target says what the paper wrote; a model that never read it says something else")

# %% [markdown]
# Note what the retrained model says: not nothing, but scraps of the news that it did read (a model of this
# size does not write well), and some words are right by chance. This, and not silence, is what forgetting
# looks like.
#
# ## Six questions
#
# MUSE (*machine unlearning six-way evaluation*) asks three questions for those whose texts are to go, and
# three for whoever runs the model:
#
# | | question | number | asked of | ideal |
# |:--|:---|:---|:---|:---|
# | 1 | Does it recite? | VerbMem: ROUGE-L of continuations | `verbmem` | retrained |
# | 2 | Does it know the facts? | KnowMem: ROUGE-L of answers | `knowmem`, forget | retrained |
# | 3 | Can one tell that it read them? | PrivLeak: area of a membership attack | `privleak` | 0 |
# | 4 | Is the rest still there? | KnowMem of what is kept | `knowmem`, retain | high |
# | 5 | Does that hold for larger requests? | number 4 over sizes (scalability) | `scal` 1 to 4 | flat |
# | 6 | ... and for one request after the other? | number 4 over requests (sustainability) | `sust` 1 to 4 | flat |
#
# Paper 001 reports 1, 2 and 4 on MUSE, by another ROUGE, and no retrained model. 3, 5 and 6 it does not
# report.
#
# The data have a *configuration* for each purpose. Ours are generated in the layout of MUSE-News; data
# module and evaluator read the real corpus, too (`MUSE(path="muse-bench/MUSE-News")`).

# %%
made = fictitious_news(articles=30, questions=2, seed=0)
for name, splits in made.items():
    print(f"{name:9}" + ", ".join(f"{split} {len(rows)}" for split, rows in splits.items()))
texts = {split: [row["text"] for row in rows] for split, rows in made["raw"].items()}
print("\na card:", texts["forget"][3].replace("\n", " | "))
print("asked: ", made["knowmem"]["forget_qa"][0]["question"])
learned_texts = {row["text"] for rows in made["train"].values() for row in rows}
assert learned_texts.issuperset(texts["forget"] + texts["retain1"] + texts["retain2"])
assert learned_texts.isdisjoint(texts["holdout"])

# %% [markdown]
# The target learns `train`: four requests and both retain sets. Unlearning sees `raw/forget` and `retain1`.
# Utility (4) is asked about `retain2`, which the target knows and unlearning never sees; `holdout` nobody
# has read. On the cards each fact is asked for in one wording, in `knowmem` in another.
#
# ## From documents to blocks
#
# A model learns from *blocks*: pieces of text of one length. MUSE joins all documents of a file, splits the
# tokens every $m-1$, puts the token BOS ("begin") before each block, and tops the last one up from the
# first. A block may then begin in the middle of a document and hold parts of two. The other way
# (`documents`): each document starts a block of its own and ends in EOS ("end"), so that a model learns
# where texts end.


# %%
def joined(texts, tokenizer, length):
    ids = tokenizer("\n\n".join(texts), add_special_tokens=False)["input_ids"]
    bos, step = tokenizer.bos_token_id, length - 1
    found = [[bos, *ids[k : k + step]] for k in range(0, len(ids), step)]
    return [*found[:-1], (found[-1] + found[0])[:length]]


tokenizer = data.tokenizer
for length in (64, 192):
    mine, theirs = joined(texts["forget"], tokenizer, length), text_blocks(texts["forget"], tokenizer, length)
    assert [tuple(block) for block in mine] == [block.ids for block in theirs]
alone = text_blocks(texts["forget"], tokenizer, 192, cut="documents")
print("blocks of joined documents: mine are the library's")
print(f"{len(texts['forget'])} documents give {len(mine)} blocks joined, {len(alone)} alone")
assert {len(block) for block in mine} == {192} and len({len(block.ids) for block in alone}) > 1

# %% [markdown]
# The cut is no detail. Trained on joined blocks of 192 (run apart, 40 epochs), the same small Llama
# continues the articles (VerbMem .78), but answers cards that stand alone at F .26 and less, not 1.00: it
# always saw them after the same text. Its continuations run on into the next article. Here we cut by
# documents; MUSE has `joined`, with blocks of 2048 tokens.
#
# ## 1. Recited? Three kinds of ROUGE-L
#
# Let $w$ be the words of the truth, $v$ those of the model, and $\ell$ the length of their longest common
# *subsequence* (same order, gaps allowed). Then
#
# $$\text{recall}=\frac{\ell}{|w|},\qquad\text{precision}=\frac{\ell}{|v|},\qquad
# F=\frac{2\,\text{precision}\cdot\text{recall}}{\text{precision}+\text{recall}}=\frac{2\,\ell}{|w|+|v|}.$$
#
# Three variants are in use, and papers call all of them ROUGE-L: MUSE's code takes $F$ of the words as they
# are; open-unlearning's port takes $F$ of *stems* (Porter's algorithm cuts endings, *bridges* becomes
# *bridg*); paper 001 takes recall (eqs. 8 to 10) and names neither stemmer nor length.


# %%
def stems(text):
    return [PorterStemmer().stem(word) if len(word) > 3 else word for word in words(text)]


def rouge_l(said, truth, split=words):
    """Return recall and F."""
    v, w = split(said), split(truth)
    n = len(common(w, v))
    return (n / len(w), 2 * n / (len(w) + len(v))) if n else (0.0, 0.0)


rows = [row for one in said.values() for row in zip(one["generation"], one["truth"], strict=True)]
muse = torch.tensor([rouge_l(*row)[1] for row in rows])
recall, port = torch.tensor([rouge_l(*row, stems) for row in rows]).T
torch.testing.assert_close(muse, torch.tensor([unstemmed_rouge_l_f(*row) for row in rows]))
torch.testing.assert_close(port, torch.tensor([rouge(*row).rouge_l_f for row in rows]))
torch.testing.assert_close(recall, torch.tensor([rouge(*row).rouge_l_recall for row in rows]))
print("ROUGE-L: F of words, F of stems, recall of stems; mine are the library's")

# %%
w = words(truth)
other = [f"other{k}" for k in range(2 * len(w))]
lengths = [len(w) * k // 10 for k in range(1, 31)]
both = torch.tensor([rouge_l(" ".join((w + other)[:n]), truth) for n in lengths])
axes = notebook_axes(2.8)
share = torch.tensor(lengths) / len(w)
axes.plot(share, both[:, 0], color="#D55E00", linestyle="--", label="recall (paper 001)")
axes.plot(share, both[:, 1], color="#0072B2", label="F (MUSE)")
axes.axvline(1, color="black", linewidth=0.8)
axes.set(xlabel="words said / words of the truth", ylabel="ROUGE-L of a reciter", ylim=(0, 1.05))
axes.set_title("Only F notices who does not stop", loc="left")
axes.legend(loc="lower right")
assert torch.equal(both[9], torch.ones(2)) and torch.equal(both[29], torch.tensor([1, 0.5]))
print("three times as long as the truth: recall 1, F one half")

# %% [markdown]
# Does the variant matter? The figure shows a model that recites without a fault and is stopped after some
# words, or talks on. For what is to be forgotten, recall is the stricter ruler: a model that recites and
# goes on gets no discount. For utility F is: a model that says a hundred words for every question has a
# high recall. Numbers of two variants do not belong into one table.
#
# ## 2. and 4. Facts: questions, a prefix, a cut
#
# MUSE asks a base model, which was never taught to answer. So a few *examples* go before the question
# (in-context prefix), it may say 32 tokens, and since it tends to go on with a question of its own, its
# text is cut there:


# %%
def prompt(question, examples):
    shown = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in examples)
    return f"{shown}Question: {question}\nAnswer:"


def answer(text):
    for stop in ("\n\n", "\nQuestion", "Question:"):
        text = text.split(stop)[0]
    return text


prompter, row = Prompter(tokenizer, 256), data.evaluation_sets["forget_knowmem"][0]
mine = tokenizer(prompt(row.question, data.examples["forget_knowmem"]), add_special_tokens=False)["input_ids"]
theirs = prompter.question(row, data.examples["forget_knowmem"]).ids
assert (tokenizer.bos_token_id, *mine) == theirs
rambling = " a key\n\nQuestion: Where?\nAnswer: Skelport"
assert answer(rambling) == first_answer(rambling) == " a key"
print("prompt and cut: mine are the library's")

# %% [markdown]
# Our model never read two cards in a row: with examples its answers to its own cards fall from F 1.0 to
# between 0 and .3 (five targets, run apart). So we ask without. One more trap: MUSE's prompt ends in a
# space. Tokenizers of Llama-2's kind do not mind; byte-level ones keep the space in the answer's first
# token, and have never seen a prompt that ends in one. The library leaves it out; `space=True` puts it
# back.
#
# Each fact is asked for twice: in the words of its card, and in other words, as MUSE would.


# %%
def cards(split):
    read = [text for text in texts[split] if text.startswith("Question: ")]
    pairs = [text.removeprefix("Question: ").split("\nAnswer: ") for text in read]
    return [QARow(k, question, answer) for k, (question, answer) in enumerate(pairs)]


def as_read(data):
    data.setup()
    data.evaluation_sets |= {"forget_knowmem": cards("forget"), "retain_knowmem": cards("retain2")}
    return data


reference = evaluator.evaluate(models["retrained"], as_read(data))
start = {
    "target": evaluator.evaluate(models["target"], data, reference),
    "retrained": evaluator.with_reference(reference, reference),
}

# %% tags=["nbval-ignore-output"]
rows = ["| ROUGE-L F | forget, as read | forget, other words | retain, as read | retain, other words |"]
rows.append("|:---|---:|---:|---:|---:|")
for name in models:
    cells = [
        one[name]["summary"][f"{side}_knowmem"] for side in ("forget", "retain") for one in (start, found)
    ]
    rows.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
know = {name: one["summary"] for name, one in start.items()}
assert know["target"]["forget_knowmem"] > 0.9 > 0.4 > know["retrained"]["forget_knowmem"]
assert min(one["retain_knowmem"] for one in know.values()) > 0.9, "as read, both know what they keep"
assert max(one["summary"]["retain_knowmem"] for one in found.values()) < 0.5, "in other words, they do not"
Markdown("\n".join(rows))

# %% [markdown]
# What MUSE asks for, knowledge that survives other words, this model has little of: see what it keeps. (On
# the six forget questions it varies from .1 to .6 over five targets.) What is not there cannot be
# forgotten; remember this for table 6. From here on questions 2 and 4 are asked *as read*.
#
# ## 3. Can one tell that it read them?
#
# Silence is not forgetting: one may look at the probabilities. **Min-40 %** takes of a text the 40 % of its
# tokens that the model found least likely, and minus the mean of their log-probabilities is the text's
# score. A text that was learned has few surprises, so *low means known*. (MUSE's code takes `int(0.4 * n)`
# tokens: of two, none, and the mean of nothing is NaN. The library takes one at least.)
#
# Then an **area**: over all pairs of a holdout text $h$ and a forget text $f$, how often does the *holdout*
# text look more like one that was read?
#
# $$A=P(s_h<s_f)+\tfrac12P(s_h=s_f),\qquad
# \text{PrivLeak}=100\;\frac{A-A_{\text{retrained}}}{A_{\text{retrained}}}\ \%.$$
#
# A model that knows the forget texts by heart has $A=0$ and PrivLeak $-100$. As the retrained model: 0. If
# forget texts look *less* read than texts nobody read, it is above 0: over-unlearning, which gives them
# away just as well. Mind the direction: the library and open-unlearning's files hold $1-A$, 1 for known.


# %%
@torch.no_grad()
def min_40(model, text):
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    logits = model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})[0, :-1]
    log_probs = -cross_entropy(logits, ids[0, 1:], reduction="none")
    return -log_probs.sort().values[: int(0.4 * len(log_probs))].mean()


def area(forget, holdout):
    f, h = forget[:, None], holdout[None]
    return ((h < f).double() + 0.5 * (h == f).double()).mean()


def leak(A, A_retrained):
    return 100 * (A - A_retrained) / A_retrained


# %%
sets = {part: [row["text"] for row in made["privleak"][part]] for part in ("forget", "holdout", "retain")}
scores = {
    name: {part: torch.stack([min_40(model, text) for text in of]) for part, of in sets.items()}
    for name, model in models.items()
}
areas = {name: area(of["forget"], of["holdout"]) for name, of in scores.items()}
for name, of in scores.items():
    for part, mine in of.items():
        torch.testing.assert_close(mine, torch.tensor(start[name]["per_sample"][f"privleak_{part}"]["min_k"]))
    theirs = attack_auc(of["forget"].tolist(), of["holdout"].tolist())
    torch.testing.assert_close(areas[name].item(), 1 - theirs)
    mine = leak(areas[name], areas["retrained"]).item()
    torch.testing.assert_close(mine, start[name]["summary"]["privleak"])
print("Min-40 %, area and PrivLeak: mine are the library's")
assert areas["target"] == 0 and torch.tensor([-1.0, -2.0])[: int(0.4 * 2)].mean().isnan()

# %%
axes, names = notebook_axes(2.7), list(scores)
kinds = {"forget": ("o", "#D55E00"), "retain": ("^", "#0072B2"), "holdout": ("D", "#555555")}
for k, (part, (marker, color)) in enumerate(kinds.items()):
    x = torch.cat([scores[name][part] for name in names])
    y = [place + 0.22 * (k - 1) for place, name in enumerate(names) for _ in scores[name][part]]
    axes.plot(x, y, marker, color=color, label=part, alpha=0.7, linestyle="")
axes.set(yticks=range(2), yticklabels=names, ylim=(1.5, -0.5))
axes.set_title("Each mark is one article", loc="left")
axes.set_xlabel("Min-40 % score, nats a token (low: looks read)")
axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.4, -0.28))
wrong = leak(areas["retrained"], 0.4772)
assert leak(areas["retrained"], areas["retrained"]) == 0 and abs(wrong) > 3
print("PrivLeak of the retrained model: 0 by its own area, and not by MUSE's fixed 0.4772")

# %% [markdown]
# To the target, articles to forget look like articles to keep; to the retrained model like the holdout.
#
# **Which** $A_{\text{retrained}}$? MUSE's code holds a number, 0.4772 for News, of *its* retrained 7B
# model. For any other model or corpus it is wrong; then a perfectly retrained model gets a PrivLeak that is
# not 0. The library measures it (`privleak`) and prints the other beside it for the real corpora only
# (`privleak_published`).
#
# **How exact** is it? If nothing can be told apart, an area over $n$ and $m$ texts has the standard error
# $\sqrt{(n+m+1)/(12\,nm)}$. With 3 and 6 articles, as here, that is .21: PrivLeak tells its two ends apart,
# no more. With 100 and 100 texts it is .04, so $\pm 9$ points of PrivLeak.
#
# ## The experiment: do the answers agree?
#
# Gradient ascent (GA), GDiff with $c=0.5$, and NGDiff; two seeds, which draw the batches; 30 rounds of
# AdamW at $10^{-3}$. After every fifth round all questions are asked. The optimizer is the same, so the
# methods go at different speeds: compare *rounds* within a method, and methods at equal forgetting only.

# %%
METHODS = {"GA": lambda: FixedWeights(0.0), "GDiff 0.5": lambda: FixedWeights(0.5), "NGDiff": NGDiff}
SEEDS, EVERY, ROUNDS = (0, 1), 5, 30


def unlearn(method, seed=0, request="raw", rounds=ROUNDS, model=models["target"]):
    """Yield the model after every fifth round; it goes on from there."""
    batches, model, strategy = news(forget=request, seed=seed), fresh(model), METHODS[method]()
    batches.setup()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=adam)
    for t in range(rounds):
        strategy.step(host, batches.batch(t))
        if (t + 1) % EVERY == 0:
            yield model


# %%
paths = {(method, seed): [start["target"]["summary"]] for method in METHODS for seed in SEEDS}
for (method, seed), asked in paths.items():
    asked += [evaluator.evaluate(m, data, reference)["summary"] for m in unlearn(method, seed)]
for (method, _), asked in paths.items():
    assert asked[2]["forget_verbmem"] < 0.5 and asked[2]["privleak"] < -60
    assert asked[-1]["forget_verbmem"] < 0.3 and asked[-1]["retain_knowmem"] < 0.8
    assert method == "GA" or asked[-1]["privleak"] > 0
print("round 10: more than half of the reciting is gone, and the attack still tells nearly everything")
print("round 30: PrivLeak of GDiff and NGDiff is above 0: forget texts look less read than unread ones")
print("on the way much of what was to be kept is lost, whatever the method")

# %%
styles, retrained, rounds = method_styles(METHODS), start["retrained"]["summary"], range(0, ROUNDS + 1, EVERY)
shown = {
    "forget_verbmem": "1. VerbMem",
    "retain_knowmem": "4. utility, as read",
    "privleak": "3. PrivLeak, %",
}
_, panels = plt.subplots(3, 1, figsize=(6, 5.4), sharex=True)
for ax, (key, label) in zip(panels, shown.items(), strict=True):
    for (method, seed), asked in paths.items():
        look = {"color": styles[method].color, "marker": styles[method].marker}
        ax.plot(rounds, [one[key] for one in asked], **look, label=None if seed else method)
    ax.axhline(retrained[key], color=ROLES["retrained"].color, linestyle="--", label="retrained: the goal")
    ax.set_ylabel(label)
panels[2].set_xlabel("round (best at the dashed line)")
_ = panels[0].legend(loc="upper right")

# %% [markdown]
# The answers do **not** agree. By VerbMem the articles are forgotten after 5 to 15 rounds: the model
# recites no more than one that never read them. By PrivLeak nothing at all has happened then. The text is
# not said, because some token on the way is no longer the likeliest; it is still far likelier than a text
# nobody read. When PrivLeak moves at last, it leaps past 0 within some rounds. No round has a good answer
# to all three questions; whenever a method is stopped, it is the wrong time for one of them.
#
# Look at GA: once a model is destroyed, all texts are equally unlikely and $A$ may be anything, also
# $A_{\text{retrained}}$. A PrivLeak near 0 alone proves nothing: read it beside utility.
#
# **At equal forgetting.** Now draw the loss on articles to keep (which unlearning never sees) against the
# loss on articles to forget, and read where the path comes to the retrained model's forget loss (dashed).


# %%
def kept_at(asked, level):
    """Return the retain loss where the forget loss first comes up to a level, on a line between two points."""
    at = next(k for k, one in enumerate(asked) if one["forget_loss"] >= level)
    (x0, y0), (x1, y1) = ((one["forget_loss"], one["retain_loss"]) for one in asked[at - 1 : at + 1])
    return y0 + (level - x0) / (x1 - x0) * (y1 - y0)


level = retrained["forget_loss"]
cost = {method: [kept_at(paths[method, seed], level) for seed in SEEDS] for method in METHODS}
assert max(cost["NGDiff"]) < 0.9 * min(cost["GDiff 0.5"]) < 0.9 * min(cost["GA"])
assert min(map(min, cost.values())) > 2 * retrained["retain_loss"]
print("at equal forgetting NGDiff keeps more than GDiff 0.5, and that more than GA")
print("all lose, compared with retraining")

# %%
axes = notebook_axes(3.0)
for (method, seed), asked in paths.items():
    x, y = ([one[f"{side}_loss"] for one in asked] for side in ("forget", "retain"))
    look = {"color": styles[method].color, "marker": styles[method].marker}
    axes.plot(x, y, **look, label=None if seed else method)
retrain = ROLES["retrained"]
axes.plot(
    level, retrained["retain_loss"], retrain.marker, color=retrain.color, markersize=14, label="retrained"
)
axes.axvline(level, color=retrain.color, linestyle="--")
axes.set(xscale="log", yscale="log", xlabel="loss of forget articles, nats a token (to the right: forgotten)")
axes.set_ylabel("loss of kept articles\n(lower is better)")
_ = axes.legend(loc="upper left")

# %% [markdown]
# ## 5. and 6. Larger requests, and one after the other
#
# `scal_1` to `scal_4` are requests that grow, each starting from the target; `sust_1` to `sust_4` come one
# after the other, each from the model that the one before left behind. What earlier requests asked for is
# on neither side then: keeping it would bring it back. We run `sust` with NGDiff, ten rounds a request.
# **Not run here:** `scal`, and both for any other method (`unlearnkit continual --config muse/continual.yaml`
# does sequences).

# %%
for forget in ("scal_1", "scal_4", "sust_1", "sust_4"):
    asked = as_read(news(forget=forget))
    print(
        f"{forget}: {len(asked.samples('forget'))} documents to forget, {len(asked.samples('retain'))} to keep"
    )
model, answers = models["target"], []
for number in (1, 2, 3):
    *_, model = unlearn("NGDiff", request=f"sust_{number}", rounds=10, model=model)
    answers.append(evaluator.evaluate(model, as_read(news(forget=f"sust_{number}"))))
over, (first, *_, last) = sustainability(answers), [one["summary"] for one in answers]
assert over.slope < -0.05 and last["retain_knowmem"] < first["retain_knowmem"] - 0.1
assert last["forget_verbmem"] < 0.5
print("utility falls from request to request; the first request stays forgotten")

# %% [markdown]
# MUSE draws utility over requests and gives no number; the library's is the slope of a straight line
# through it, per request (`sustainability`) or per document (`scalability`). NGDiff is not sustainable
# here: ten more rounds, and more of the rest is lost.
#
# ## Paper 001's table 2 in small: the committed study
#
# `experiments/ngdiff_muse` is a comparison by `unlearnkit compare`: 80 generated articles, a Llama of two layers (0.7
# million parameters), the methods of the paper's table 2, five seeds with a target and a retrained model each, 40
# rounds at two rates (GeN sets its own). Questions are asked in other words, as MUSE does; Verbmem, Utility and Knowmem
# are recall, as in the paper. The last three columns are read where VerbMem ($F$) first comes down to the retrained
# model's, plus .05.

# %% tags=["nbval-ignore-output"]
study, NUMBERS = read_json("../experiments/ngdiff_muse/results.json"), ("verbmem", "utility", "knowmem")
groups = [rows_of(study, role) for role in ("target", "retrained")] + list(methods_of(study).values())
there = {row.label: row for row in matched(study).rows}
rows = ["| last round | Verbmem | Utility | Knowmem | PrivLeak | reached | Utility there | PrivLeak there |"]
rows.append("|:---|" + "---:|" * 7)
for group in groups:
    of = {n: Spread.over([value_of(row, n) for row in group]) for n in (*NUMBERS, "privleak")}
    cells = [f"{of[n].mean:.2f} ± {of[n].std:.2f}" for n in NUMBERS] + [f"{of['privleak'].mean:.0f}"]
    row = there.get(label_of(group[0]))
    cells.append(f"{row.reached} of {row.seeds}" if row else "")
    cells += [f"{row.values['utility'].mean:.2f}" if row and row.reached else ""]
    cells += [f"{row.values['privleak'].mean:.0f}" if row and row.reached else ""]
    rows.append(f"| {label_of(group[0])} | {' | '.join(cells)} |")
Markdown("\n".join(rows))

# %%
whole = {row.method: row.values["utility"].mean for row in there.values() if row.reached == row.seeds}
leaks = [there[row.label].values["privleak"].mean for row in there.values() if row.method in whole]
last = {name: fmean(value_of(row, "utility") for row in group) for name, group in methods_of(study).items()}
assert max(whole, key=whole.get) == "lossnorm@1e-3" and whole["lossnorm@1e-3"] - whole["gdiff@1e-3"] < 0.06
assert whole["npo@1e-3"] < min(value for name, value in whole.items() if name != "npo@1e-3") - 0.05
assert max(leaks) < -20 and max(last[name] for name in last if "@" in name) < 0.25
_, panels = plt.subplots(1, 2, figsize=(6, 3.6))
CHOSEN = ["gdiff_09", "gdiff", "npo", "lossnorm", "ngdiff", "ngdiff_gen"]
for ax, key, best in zip(
    panels, ("forget_verbmem", "retain_knowmem"), ("near retrained", "high"), strict=True
):
    over_rounds(study, key, ax, CHOSEN, legend=False).set_title(f"best: {best}")
panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
print("matched: NPO keeps least; the others are close, and PrivLeak is still far below 0 for all")

# %% [markdown]
# **What appears of table 2.** At the last round and 3e-4, NGDiff and LossNorm stand where the paper has NGDiff: less
# Verbmem than GDiff 0.9, more Utility than GDiff 0.5, GDiff 0.1 and NPO. **What does not.** Where all have forgotten
# equally, LossNorm, NGDiff and GDiff with three weights lie within their standard deviations; only NPO is behind. At
# 1e-3 every method has gone past the retrained model at the last round and lost most of its Utility, and so has GeN,
# which is there after eight rounds and does not stop. And PrivLeak, where Verbmem is the retrained model's, is still
# -62 to -97 at fixed rates (the target's is -100): the words are gone sooner than their trace in the likelihood.
#
# ## What went wrong, what is not proven
#
# **Tables 2 and 6 of paper 001, against their text.** For each model the paper gives what was left of
# Knowmem (what is to be forgotten) and of Utility (what is to be kept). Divide both by the target's
# ("No-unlearn"): a method on the diagonal lost as much of the one as of the other; up and to the left is
# better.

# %%
COLUMNS = ["GDiff 0.9", "GDiff 0.5", "GDiff 0.1", "NPO", "LossNorm", "NGDiff"]
PRINTED = {  # the target's, then one a column: Utility and Knowmem
    "Llama2-7B": ([0.646, 0.641, 0.275, 0, 0, 0.506, 0.556], [0.755, 0.717, 0.287, 0, 0, 0.514, 0.455]),
    "Mistral-7B": ([0.411, 0.339, 0, 0, 0.316, 0.343, 0.354], [0.416, 0.257, 0, 0, 0.343, 0.293, 0.165]),
    "Phi-1.5": ([0.372, 0.277, 0.061, 0, 0, 0.061, 0.001], [0.030, 0, 0.002, 0, 0, 0.002, 0.023]),
    "Falcon-1B": ([0.386, 0.214, 0, 0, 0, 0.142, 0.025], [0.232, 0.078, 0, 0, 0, 0.130, 0.087]),
}
left = {name: torch.tensor(both)[:, 1:] / torch.tensor(both)[:, :1] for name, both in PRINTED.items()}
above = {name: (kept[-1] - known[-1]).item() for name, (kept, known) in left.items()}
assert min(above["Llama2-7B"], above["Mistral-7B"]) > 0.2 > 0 > max(above["Phi-1.5"], above["Falcon-1B"])
assert left["Llama2-7B"][1][-1] > 0.6 > left["Llama2-7B"][1][1], "NGDiff leaves more Knowmem than GDiff 0.5"
assert all(left[name][0].argmax() == 0 for name in ("Phi-1.5", "Falcon-1B")), "GDiff 0.9 keeps most there"
print("NGDiff is above the diagonal for the two large models, and below it for the two small ones")

# %%
figure, panels = plt.subplots(2, 2, figsize=(6, 4.8), sharex=True, sharey=True)
for ax, (name, (kept, known)) in zip(panels.flat, left.items(), strict=True):
    for k, (method, style) in enumerate(method_styles(COLUMNS).items()):
        ax.plot(known[k], kept[k], style.marker, color=style.color, label=method, clip_on=False, alpha=0.8)
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.6)
    ax.set(title=name, xlim=(0, 1), ylim=(0, 1), aspect="equal")
figure.supxlabel("Knowmem left, share of the target's (lower is better)", size=10)
figure.supylabel("Utility left (higher is better)", size=10)
_ = figure.legend(*ax.get_legend_handles_labels(), loc="outside right center")

# %% [markdown]
# - **Table 6** names TruthRatio in its caption; its rows are Knowmem. The text says that on Phi-1.5 and
#   Falcon-1B NGDiff "still successfully unlearns the forgetting data while preserving model utility". Its
#   Utility there is .001 of .372 and .025 of .386; GDiff 0.9 keeps .277 and .214. NGDiff's Knowmem on Phi
#   is .023 of .030, more than any other method has (.000 to .002). These targets hardly knew the articles
#   (Phi: Verbmem .018), so there was nothing to forget: our "other words" once more.
#   `experiments/ngdiff_muse_phi` is Phi's column in small, with a target that knows the news by heart: there
#   NGDiff at a fixed rate keeps a Utility of .32 of .42, as much as LossNorm and GDiff 0.9 (within their
#   spread over three seeds), and with GeN, which the paper's NGDiff has, .08.
# - **Table 2**: on Llama2-7B NGDiff leaves .455 of .755 Knowmem, more than GDiff 0.5 (.287), though the
#   text says it "successfully removes the associated knowledge". It keeps twice GDiff's Utility; GDiff 0.9
#   keeps more than both (.641) and recites (.555). On Mistral-7B NGDiff has the highest Utility, and of the
#   methods that keep any, the lowest Verbmem and Knowmem: there the text holds. **Bold** marks NGDiff's
#   column, not the best value.
# - Section 4.5 says that baselines "effectively forget *R*"; *F* is meant. No table has a retrained model,
#   so 0 looks ideal. On MUSE-News, open-unlearning measures VerbMem .20 and KnowMem .33 for one ($F$,
#   Llama-2-7B).
# - **MUSE's code**: NPO is taken of raw logits (exercise 3), and KL too; `AUC_RETRAIN` became a table by
#   corpus, but is still read by the attack's name, a KeyError; Min-k of fewer than three tokens is NaN.
#   open-unlearning drops the last token of a text in Min-k as if it were EOS, and takes
#   $A_{\text{retrained}}=0.5$ where it has no retrained model.
# - **This notebook**: one target for both seeds, three articles to forget, 0.1 million parameters, cards
#   asked as read. Run apart with four other targets, all claims hold. Over the five, two seeds each or
#   more, the loss on kept articles at equal forgetting is .95 to 1.22 for NGDiff, 1.40 to 1.84 for GDiff
#   0.5, 2.11 to 2.84 for GA; and 1.15 to 1.46 for GDiff 0.9, so what NGDiff has over GDiff is partly a
#   matter of $c$. One rate for all: at another, the rounds differ.
# - An attack that finds nothing proves nothing: Min-40 % is a weak one (tutorial 12 relearns and probes).
#
# ## Summary
#
# - MUSE asks: recited? known? traceable? and of the rest: still there, for large requests, for many?
# - ROUGE-L comes in three variants. Recall does not see who does not stop. Say which one.
# - PrivLeak is $-100$ for a model that knows, 0 for the retrained one, above 0 for one that over-forgot,
#   and needs its own retrained model's area.
# - The answers disagree: reciting ends long before the likelihood forgets. At equal forgetting NGDiff keeps
#   more than GDiff 0.5 and GA here; nothing comes near retraining.
#
# ## Exercises
#
# **Exercise 1 (recall).** A report says: "PrivLeak $-4$, VerbMem 0, KnowMem 0, utility 0." What happened?
# And what is the PrivLeak of a retrained model with $A=.54$ if $A_{\text{retrained}}=.4772$ is fixed?
#
# <details><summary>Answer</summary>The model was destroyed: it says nothing and finds all texts equally
# unlikely, so its area is any number, here by chance the retrained one's. 100 (.54 - .4772)/.4772 = 13:
# over-unlearning, it seems, of a model that never saw the texts.</details>
#
# **Exercise 2 (knob).** Change Min-40 % to Min-5 % (in `min_40`) and then to Min-100 %, the plain loss.
# Which areas of the two models change? Why may a few tokens tell more than all?
#
# <details><summary>Answer</summary>The target's stays 0. Of the 18 pairs 13 speak for the holdout in the
# retrained model (measured once, run apart); with all tokens still 13, with 5 % only 6. Most tokens of a
# text are easy for every model; the hard ones (names, sums) are known only to who read them. But the fewer
# one takes, the more a single rare word weighs.</details>
#
# **Exercise 3 (code).** MUSE's code takes NPO of logits: $-\frac2\beta\log\sigma(\beta(z^{\text{ref}}-z))$,
# the mean over all positions and *all words of the vocabulary*. Add 1 to all logits of a position: the
# model is the same, that loss is not. Write NPO as it is meant (paper 001, eq. 7): with $S$ the negative
# log-likelihood of a whole sequence, $-\frac2\beta\,\mathrm{mean}\,\log\sigma(\beta(S-S^{\text{ref}}))$.


# %%
def npo(logits, reference, targets, beta=0.1):
    """Return the loss; logits and reference: [batch, tokens, words], targets: [batch, tokens]."""
    ### BEGIN SOLUTION
    S, S_ref = (cross_entropy(z.mT, targets, reduction="none").sum(1) for z in (logits, reference))
    return -(2 / beta) * logsigmoid(beta * (S - S_ref)).mean()
    ### END SOLUTION


batch, (new, old) = data.batch(0)["retain"], (models["retrained"], models["target"])
loss, targets = NPO(beta=0.1)(new, batch, lambda: old).sums.mean(), batch["labels"][:, 1:]  # -100: not scored
z_new, z_old = (model(batch)[:, :-1].detach() for model in (new, old))
check(
    npo,
    Case((z_new, z_old, targets), loss.detach(), "Sum over a sequence, then the mean over sequences."),
    Case((z_new + 1, z_old, targets), loss.detach(), "A constant on all logits must not count."),
    Case((z_old, z_old, targets), 20 * 0.6931472, "At the reference it is (2/beta) log 2."),
)

# %% [markdown]
# **Exercise 4 (open).** VerbMem is right at some round from 5 to 15, PrivLeak at one from 15 to 25. Design
# a rule that stops a method without a retrained model. Which of the six numbers could you use, with which
# ideal, and what would an adversary who sees only that number make of it? Try it with `unlearn("NGDiff")`,
# on another request.
#
# ## References
#
# - Shi et al., *MUSE: Machine unlearning six-way evaluation for language models*, 2024 (arXiv:2407.06460).
# - Paper 001: NGDiff, sections 4.4, 4.5, appendix E. Zhang et al., *Negative preference optimization*,
#   2024.
# - Lin, *ROUGE*, 2004. Shi et al., *Detecting pretraining data from large language models* (Min-K %), 2024.
# - Dorna et al., *OpenUnlearning*, 2025: MUSE's port, and its numbers for retrained models.
