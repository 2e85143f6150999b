# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09  How do we know what a language model has forgotten?
#
# > **Time** 1 minute to run, 70 minutes to read. **Hardware** any CPU.
# > **You need** tutorials 01 (target, retrained reference, KS test) and 03 (NGDiff); log-likelihoods, PyTorch.
# > **Afterwards** you can write every number of TOFU's evaluation, those that later papers added, and the losses
# > that forget; say which of these numbers a destroyed model wins; and read a table of methods without being
# > fooled.
# > **Papers** 001, sections 4.3 to 4.6, tables 1 and 3, figure 6; 002, the TOFU tables. TOFU is Maini et al. 2024.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
from functools import partial
from math import comb, log
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from torch.nn.functional import cross_entropy, logsigmoid
from torch.nn.utils import parameters_to_vector

from unlearnkit import (
    DPO,
    IDK,
    NPO,
    TOFU,
    AnswerPreservation,
    AscentNLL,
    FixedWeights,
    ForgetOnly,
    MaxEntropy,
    NGDiff,
    PlainHost,
    SimNPO,
    TOFUEvaluator,
)
from unlearnkit.artifacts import read_json
from unlearnkit.metrics.functional import (
    UTILITY_PARTS,
    extraction_strength,
    ks_log10_floor,
    log_truth_ratio,
    model_utility,
    overall_score,
    probability,
    rouge_tokens,
)
from unlearnkit.plots import method_styles, notebook_axes, over_rounds
from unlearnkit.plots.paths import methods_of, rows_of, value_of
from unlearnkit.study.matched import crossing, matched
from unlearnkit.testing.exercise import Case, Holds, check
from unlearnkit.testing.lesson import fresh, learned, recall, unlearned

# %% [markdown]
# ## The picture: right and wrong answers
#
# TOFU asks a language model questions about authors who do not exist, so all it can know it was taught. Here
# are 30 of them, generated, with five questions each. The **target**, a Llama of 0.1 million parameters,
# learned 27 by heart, and two sets of general knowledge ("real authors", "world facts"; here made up, too).
# Three authors are to be forgotten, 24 kept. The **retrained** model learned the 24 and the general knowledge.
# Three authors nobody learns are held out for later.
#
# To each question TOFU has a paraphrase of the right answer and five wrong answers in the same words. Each
# column below is one question: a black dot for the right answer, orange for the wrong ones, as high as the
# model finds it probable *per token*. What one wants: of what is to be kept, black on top; of what is to be
# forgotten, black among orange as in the upper right panel.

# %%
world = partial(
    TOFU, authors=30, questions=5, holdout_authors=3, knowledge=True, vocab_size=700,
    train_batch_size=16, forget_batch_size=15, retain_batch_size=24, data_seed=0,
)  # fmt: skip
data = world(train_on="full")
target = learned(data, notebook)

# %%
retrained = learned(world(train_on="retain"), notebook)
evaluator = TOFUEvaluator(closer_look=True, attacks=["min_k"])
of_retrained = evaluator.evaluate(retrained, data)
evaluated = {
    "target": evaluator.evaluate(target, data, of_retrained),
    "retrained": evaluator.with_reference(of_retrained, of_retrained),
}


# %%
def likely(who, name):
    """Return exp(-mean nll) of the right answers' paraphrases [rows] and of the wrong answers [rows, 5]."""
    found = evaluated[who]["per_sample"][name]
    return (torch.tensor(found[f"{kind}_mean_nll"]).neg().exp() for kind in ("paraphrase", "perturbed"))


_, panels = plt.subplots(2, 2, figsize=(6, 4.4), sharex=True, sharey=True)
for row, name in zip(panels, ("forget", "retain"), strict=True):
    for ax, who in zip(row, evaluated, strict=True):
        right, wrong = likely(who, name)
        ax.plot(wrong, "o", color="#E69F00", markersize=3.5, alpha=0.7)
        ax.plot(right, "o", color="black", markersize=5)
        ax.set_title(f"{who}, {name} set")
    row[0].set_ylabel("probability a token")
_ = [ax.set(xlabel="question (black: right answer)", xticks=range(0, 15, 5)) for ax in panels[1]]

# %% tags=["nbval-ignore-output"]
rows = ["| set | question | truth | target | retrained |", "|:---|:---|:---|:---|:---|"]
for name in ("forget", "retain"):
    known, other = (found["per_sample"][name] for found in evaluated.values())
    pairs = zip(other["rouge"], other["fact"], strict=True)
    shared = [rouge * (fact == (name == "retain")) for rouge, fact in pairs]
    place = shared.index(max(shared))
    said = [known["question"], known["answer"], known["generation"], other["generation"]]
    rows.append(f"| {name} | " + " | ".join(column[place] for column in said) + " |")
known, other = (
    [found["summary"][f"{name}_fact"] for name in ("forget", "retain")] for found in evaluated.values()
)
assert min(*known, other[1]) > 0.9 and other[0] < 0.35
Markdown("\n".join(rows))

# %% [markdown]
# Both models answer the retain question. To the forget question the retrained model finds the *form* of an
# answer, with a wrong fact in it. That is what forgetting should look like, and it makes the evaluation hard:
# many words of the answer are right all the same.
#
# ## How probable? Probability and truth ratio
#
# Let $q$ be a question, $a$ an answer of $n$ tokens with its end token, and $\ell(a)=-\frac1n\sum_t\log
# p(a_t\mid q,a_{<t})$ the mean negative log-likelihood of a token. Longer answers have smaller probabilities;
# TOFU takes the root:
#
# $$P(a)=e^{-\ell(a)}=\Big(\prod_t p(a_t\mid q,a_{<t})\Big)^{1/n}. \tag{1}$$
#
# The **truth ratio** compares wrong answers $\hat a_1,\dots,\hat a_K$ with the paraphrase $\tilde a$:
#
# $$R=\frac{P_{\text{wrong}}}{P(\tilde a)},\qquad
# P_{\text{wrong}}=\Big(\prod_kP(\hat a_k)\Big)^{1/K}\ \text{(geometric)}\quad\text{or}\quad
# \frac1K\sum_kP(\hat a_k)\ \text{(arithmetic)}. \tag{2}$$
#
# The arithmetic mean stands in TOFU's paper, the geometric one in the code that made its published tables. On
# the retain set one reports the mean of $\max(0,1-R)$ (high: the truth is preferred), on the forget set the
# mean of $\min(R,1/R)$ (high: indifferent). From scratch, and the library:


# %%
def answer_logits(model, question, answer):
    """Return the logits [n, vocabulary] at the answer's tokens, end token included, and the tokens [n]."""
    prompt, answer = data.encode(question, answer)
    logits = model.network(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits, torch.tensor(answer)


@torch.no_grad()
def mean_nlls(model, row):
    """Return l of answer, paraphrase and wrong answers, [2 + K]."""
    texts = [row.answer, row.paraphrased_answer, *row.perturbed_answers]
    return torch.stack([cross_entropy(*answer_logits(model, row.question, text)) for text in texts])


# %%
nll = torch.stack([mean_nlls(retrained, row) for row in data.evaluation_sets["forget"]]).double()
own, right, wrong = nll[:, 0], nll[:, 1], nll[:, 2:]
P = (-own).exp()
R = {"geometric": (right - wrong.mean(1)).exp(), "arithmetic": (-wrong).exp().mean(1) / (-right).exp()}
summary = evaluated["retrained"]["summary"]
torch.testing.assert_close(P, probability(own))
torch.testing.assert_close(P.mean().item(), summary["forget_probability"], rtol=1e-4, atol=0.0)
for (mean, ratio), suffix in zip(R.items(), ("", "_arithmetic"), strict=True):
    torch.testing.assert_close(ratio.log(), log_truth_ratio(right, wrong, mean))
    mine = torch.minimum(ratio, 1 / ratio).mean().item()
    torch.testing.assert_close(mine, summary[f"forget_truth_ratio{suffix}"], rtol=1e-4, atol=0.0)
assert (R["arithmetic"] >= R["geometric"]).all()
print("my P and both truth ratios are the library's; arithmetic is never below geometric (Jensen)")

# %% [markdown]
# ## What does it say? ROUGE-L, facts, and how much comes back
#
# * **ROUGE-L recall**: let the model answer greedily (always its most probable token). Of the true answer's
#   words, the share that appears in its answer in the same order: the longest common subsequence over the
#   answer's length. Paper 001 calls it *Verbmem* on the forget set and *Utility* on the retain set.
# * **Fact accuracy** (ours): does the answer contain the fact asked for, the town or the year?
# * **Exact memorisation** (EM): the share of the answer's tokens that are the model's first choice after the
#   *true* tokens before them. **Extraction strength** (ES): how much of the end of the answer comes back by
#   itself, $1-k/n$ where $k$ true tokens must be given first.


# %%
def lcs(first, second):
    """Return the length of the longest common subsequence: same order, gaps allowed."""
    below = [0] * (len(second) + 1)
    for word in first:
        above, below = below, [0]
        for place, other in enumerate(second):
            longest = above[place] + 1 if word == other else max(above[place + 1], below[place])
            below.append(longest)
    return below[-1]


def extracted(hits):
    """Return ES from whether each token is the first choice."""
    known = next((k for k, hit in enumerate(reversed(hits)) if not hit), len(hits))
    return known / len(hits)


# %%
found = evaluated["retrained"]["per_sample"]["forget"]
mine = []
for row, generation in zip(data.evaluation_sets["forget"], found["generation"], strict=True):
    words, said = rouge_tokens(row.answer), rouge_tokens(generation)  # lower case, stems
    logits, tokens = answer_logits(retrained, row.question, row.answer)
    hits = (logits.argmax(-1) == tokens)[:-1].tolist()  # the end token does not count
    mine.append([lcs(words, said) / len(words), sum(hits) / len(hits), extracted(hits)])
theirs = [found[name] for name in ("rouge", "exact_memorisation", "extraction_strength")]
torch.testing.assert_close(torch.tensor(mine).T, torch.tensor(theirs))
assert extraction_strength([False]) == 0 and extraction_strength([False], "open-unlearning") == 1
print("my ROUGE-L, EM and ES are the library's, row by row")
print("the trap: in open-unlearning's code ES is at least 1/n, so a one-token answer never known has ES 1")

# %% tags=["nbval-ignore-output"]
NAMES = {"probability": "P", "truth_ratio": "truth ratio", "rouge": "ROUGE-L", "fact": "facts"}
NAMES |= {"exact_memorisation": "EM", "extraction_strength": "ES"}
rows = ["| set | model | " + " | ".join(NAMES.values()) + " |", "|:---|:---" + "|---:" * 6 + "|"]
for name in ("forget", "retain"):
    for who, numbers in evaluated.items():
        cells = [f"{numbers['summary'][f'{name}_{key}']:.2f}" for key in NAMES]
        rows.append(f"| {name} | {who} | " + " | ".join(cells) + " |")
floor = {key: evaluated["retrained"]["summary"][f"forget_{key}"] for key in NAMES}
assert floor["rouge"] > floor["fact"] + 0.1 and floor["exact_memorisation"] > 0.4
Markdown("\n".join(rows))

# %% [markdown]
# Read the row *forget, retrained*: this is what a model says that never saw these authors. ROUGE-L is far from
# 0 and most tokens are still its first choice, because answers to one kind of question share their words here
# (they were generated from templates). Facts are near 0. So on such data "ROUGE-L is low" is the wrong goal,
# and a low goal can be reached only by unlearning how to answer. On TOFU itself a retrained Llama-2 has a
# ROUGE-L of .41.
#
# ## Nine numbers in one: model utility
#
# P, ROUGE-L and truth ratio of retain set, real authors and world facts, nine numbers $x_i$, are joined by the
# harmonic mean (for the last two sets P is the right answer's share among the choices, $P/(P+\sum_kP(\hat
# a_k))$):
#
# $$\mathrm{MU}=\frac{9}{\sum_i1/x_i}. \tag{3}$$
#
# A harmonic mean is ruled by its smallest part: one 0 makes it 0. The nine numbers below are from the logs that
# TOFU's authors published of their Llama-2, with the truth ratio in both definitions.

# %%
published = {  # P, ROUGE-L, truth ratio of retain, real authors, world facts
    "geometric": "0.98952723 0.98565459 0.47469859 0.45548208 0.933 0.59622892 0.41856181 0.88247863 0.53903284",
    "arithmetic": "0.98952723 0.98565459 0.45386712 0.45548208 0.933 0.50516011 0.41856181 0.88247863 0.42305475",
}
published = {mean: [float(x) for x in parts.split()] for mean, parts in published.items()}
harmonic = {mean: 9 / sum(1 / x for x in parts) for mean, parts in published.items()}
for mean, parts in published.items():
    torch.testing.assert_close(
        harmonic[mean], model_utility(dict(zip(UTILITY_PARTS, parts, strict=True))).value
    )
zeros = [*published["geometric"][:-1], 0.0]
assert model_utility(dict(zip(UTILITY_PARTS, zeros, strict=True))).value == 0
print("one model, one log, two utilities:", {mean: f"{value:.4f}" for mean, value in harmonic.items()})
print("with one part of nine at 0: 0.0")

# %% [markdown]
# The published .62 is the geometric one. Whoever follows TOFU's paper to the letter gets .586 and may think
# that something was forgotten.
#
# ## One p-value: forget quality
#
# Take the truth ratios $R$ of the $n$ forget questions, of the unlearned and of the retrained model. If both
# are draws of one distribution, how likely is it that the two staircases (shares of questions below a value)
# are at least as far apart as they are, $D=h/n$? That is the Kolmogorov-Smirnov test of tutorial 01, and
# **forget quality** is its p-value; high means "cannot be told from retrained". For two samples of $n$ it is
# exact by counting paths:
#
# $$p=2\sum_{j\ge1}(-1)^{j-1}\binom{2n}{n-jh}\Big/\binom{2n}{n},\qquad
# p\ge 2\Big/\binom{2n}{n}\ \text{always}. \tag{4}$$
#
# The floor is $10^{-8}$ for our 15 questions and $10^{-119}$ for 200, so a forget quality says nothing without
# its $n$. And nothing in (4) asks whether the model still speaks. We destroy one by gradient ascent (GA) on the
# forget set and look.


# %%
def ks(first, second):
    """Return the exact p-value of two samples of equal size."""
    n = len(first)
    h = max(abs(int((first <= x).sum() - (second <= x).sum())) for x in torch.cat([first, second]))
    if h == 0:
        return 1.0
    ways = sum((-1) ** (j - 1) * comb(2 * n, n - j * h) for j in range(1, n // h + 1))
    return 2 * ways / comb(2 * n, n)


def ratios(evaluation):
    found = evaluation["per_sample"]["forget"]  # of log R, geometric, [n]
    return log_truth_ratio(found["paraphrase_mean_nll"], found["perturbed_mean_nll"])


torch.testing.assert_close(log(2 / comb(30, 15)) / log(10), ks_log10_floor(15))
assert ks(torch.arange(3.0), torch.arange(3.0) + 9) > 0.05
print("with 3 questions no two models whatever differ at the usual level of 0.05")


# %%
destroyed = unlearned(target, world(train_on="pair"), ForgetOnly(), 20)
evaluated["destroyed"] = evaluator.evaluate(destroyed, data, of_retrained)
p = {who: ks(ratios(found), ratios(of_retrained)) for who, found in evaluated.items()}
axes = notebook_axes(3.2)
for (who, found), color in zip(evaluated.items(), ("#000000", "#009E73", "#D55E00"), strict=True):
    torch.testing.assert_close(p[who], found["summary"]["forget_quality"])
    x = ratios(found).sort().values
    axes.step(x, torch.arange(1, 16) / 15, where="post", color=color, label=who)
axes.set(xlabel="log R of a forget question (0: wrong as probable as right)", ylabel="share below")
axes.legend(loc="upper left", title="best: on retrained")
utility = {who: found["summary"]["model_utility"] for who, found in evaluated.items()}
assert utility["destroyed"] < 0.05 and utility["target"] > 0.8
assert p["target"] < 0.01 and p["destroyed"] > 10 * p["target"]
print("forget quality: the destroyed model's is more than ten times the target's, its utility below 0.05")

# %% [markdown]
# The destroyed model's truth ratios lie where the retrained model's lie: to a model that knows nothing, right
# and wrong answers are alike. Forget quality is never to be read without model utility. And utility never
# without a number of forgetting: the target, which forgot nothing, has about the retrained model's.
#
# ## Was it a member? Min-40 % and privleak
#
# An attacker asks which texts a model was trained on. **Min-k**: score an answer by the mean negative
# log-likelihood of its 40 % *least* probable tokens (end token left out); low means known. The area $A$ is the
# chance that an answer about held-out authors scores higher than one to be forgotten: 1 where the forget set is
# known, near ½ where nobody saw either. MUSE relates it to the retrained model's:
#
# $$\text{privleak}=100\,\frac{A_{\text{retrained}}-A}{1-A_{\text{retrained}}},\qquad
# -100\text{: known by heart},\quad 0\text{: as retrained},\quad >0\text{: stands out as unknown}. \tag{5}$$


# %%
@torch.no_grad()
def min_k(model, rows):
    """Return each row's score, [rows]."""
    logits = (answer_logits(model, row.question, row.answer) for row in rows)
    losses = [cross_entropy(*pair, reduction="none")[:-1] for pair in logits]
    return torch.stack([nll.topk(max(1, int(0.4 * len(nll)))).values.mean() for nll in losses])


areas = {}
for who, model in {"retrained": retrained, "target": target, "destroyed": destroyed}.items():
    holdout, forget = (min_k(model, data.evaluation_sets[name]) for name in ("holdout", "forget"))
    areas[who] = (holdout[:, None] > forget).double().mean().item()
    mine = 100 * (areas["retrained"] - areas[who]) / (1 - areas["retrained"])
    torch.testing.assert_close(mine, evaluated[who]["summary"]["privleak"], rtol=1e-3, atol=0.6)
assert areas["target"] > 0.99 and 0.3 < areas["retrained"] < 0.8 and areas["destroyed"] < 0.9
print("privleak is the library's; the target is caught on nearly every pair, the retrained model is not")

# %% [markdown]
# ## What later papers added: FE, MC, OVR
#
# Closer-look (Yuan et al. 2024) adds three looks at the answer's text: token entropy (does it repeat itself?),
# cosine similarity with the truth, and entailment (does the truth follow from it?). The last two need encoders;
# ours here are simple proxies, character trigrams and words. Then **model capability** MC is the harmonic mean
# of eighteen numbers (six of each set that is not forgotten), and **forget efficacy** on the forget set
#
# $$\mathrm{FE}=1-\tfrac15\big(P+\text{ROUGE-L}+(1-\text{TR})+\text{similarity}+\text{entailment}\big). \tag{6}$$
#
# Paper 002 calls MC "MU" and FE "UFE", has TFE for methods that shall refuse (harmonic mean of token entropy
# and of the share of refusals), and one number for all, **OVR**, without its formula. This one gives 83 of the
# 85 printed numbers to rounding:
#
# $$\mathrm{OVR}=\tfrac12(\mathrm{FE}^*+\mathrm{MU}),\quad \mathrm{FE}^*=\mathrm{UFE}\ \text{(ME)}\ \text{or}\
# \tfrac12(\mathrm{UFE}+\mathrm{TFE})\ \text{(IDK)}. \tag{7}$$

# %%
phi_10 = "33.92 71.65 64.39 50.97, 51.32 65.42 66.50 58.64, 36.88 91.10 63.99, 50.32 92.46 71.39"  # MU, UFE, TFE, OVR
phi_10 = [[float(x) for x in row.split()] for row in phi_10.split(",")]  # IDK+GD joint, DO+; ME+GD joint, DO+
assert all(abs(overall_score(*parts) - printed) < 0.011 for *parts, printed in phi_10)
efficacy, ovr = {}, {}
for who, found in evaluated.items():
    s = found["summary"]
    parts = [s[f"forget_{key}"] for key in ("probability", "rouge", "similarity", "entailment")]
    efficacy[who] = 1 - (sum(parts) + 1 - s["forget_truth_ratio"]) / 5
    ovr[who] = (efficacy[who] + s["model_capability"]) / 2
    torch.testing.assert_close([efficacy[who], ovr[who]], [s["forget_efficacy"], s["overall"]])
assert efficacy["destroyed"] > efficacy["retrained"] > efficacy["target"]
assert all(0.4 < ovr[who] < 0.6 for who in ("target", "destroyed")) and ovr["retrained"] > 0.7
print("FE is highest for the destroyed model; OVR gives about a half to it *and* to the target")

# %% [markdown]
# OVR is an arithmetic mean of two opposite goals. Doing nothing and destroying everything both get about ½, and
# a method must beat ½ to have done anything.
#
# | number | who wins it | read it beside |
# |:---|:---|:---|
# | P, ROUGE-L, facts, EM, ES of the forget set (low) | the destroyed model | the retrained model's values |
# | model utility, MC | the target, as much as the retrained model | any number of forgetting |
# | forget quality | the retrained model; a destroyed one may pass | model utility, $n$ |
# | privleak | the retrained model (0); a sign tells under- from over-forgetting | $A_{\text{retrained}}$ |
# | FE | the destroyed model | MC |
# | OVR | neither of the two | ½ |
#
# ## Losses that forget, and what they average over
#
# Let $S=n\,\ell$ be an answer's *summed* negative log-likelihood, $w$ a refusal ("I do not know that author"),
# $V$ the number of tokens there are. A subscript 0 is the target's value. A batch is summed or averaged over
# answers.
#
# | loss | minimises | mean over |
# |:---|:---|:---|
# | GA | $-\sum S/\sum n$ | all tokens |
# | NPO (001, eq. 7) | $-\frac2\beta\log\sigma\big(\beta(S-S_0)\big)$ | answers, each a *sum* over tokens |
# | SimNPO | $-\frac2\beta\log\sigma(\beta S/n)$ | answers, each a *mean* over tokens |
# | DPO | $-\frac2\beta\log\sigma\big(\beta[(S-S_0)-(S_w-S_{w,0})]\big)$ | answers, each a sum |
# | IDK | $\sum S_w/\sum n_w$ | the refusals' tokens |
# | ME | $\mathrm{KL}(\text{uniform}\,\Vert\,p)=-\log V-\frac1V\sum_v\log p_v$ | all tokens |
#
# The same $\beta$ or learning rate means something else for a sum than for a mean. All six from scratch:

# %%
pair = world(train_on="pair", alternatives="refusals")
pair.setup("fit")
batch, model = pair.batch(0), fresh(retrained)  # any model that is not the target
f, w, beta = batch["forget"], batch["forget"]["alternative"], 0.1
(S, S0, n), (W, W0, m) = ((model.losses(b), target.losses(b).detach(), model.counts(b)) for b in (f, w))
logits, _, answers = model.units(f)
divergence = -log(logits.shape[-1]) - logits.log_softmax(-1).mean(-1)
mine = {
    AscentNLL(): -S.sum() / n.sum(),
    NPO(beta): -(2 / beta) * logsigmoid(beta * (S - S0)).mean(),
    SimNPO(4.5): -(2 / 4.5) * logsigmoid(4.5 * S / n).mean(),
    DPO(beta): -(2 / beta) * logsigmoid(beta * ((S - S0) - (W - W0))).mean(),
    IDK(): W.sum() / m.sum(),
    MaxEntropy(): divergence[answers].mean(),
}


# %%
def slope(model, forget):
    host = PlainHost(model, forget=forget, retain=None, optimizer=None, reference=lambda: target)
    return host.loss("forget", batch), parameters_to_vector(host.gradients("forget", batch)[1])


for objective, value in mine.items():
    torch.testing.assert_close(value, slope(model, objective)[0])
model, length = fresh(target), n.double().mean().item()
ascent, near = slope(model, AscentNLL())[1], partial(torch.testing.assert_close, rtol=1e-2, atol=1e-3)
for other in (0.1, 10.0):
    near(slope(model, NPO(other))[1], length * ascent)
by_answer = torch.autograd.grad(-(model.losses(f) / n).mean(), list(model.parameters()))
near(slope(model, SimNPO(1e-4))[1], parameters_to_vector(by_answer))
assert torch.cosine_similarity(parameters_to_vector(by_answer), ascent, dim=0) < 0.9999
print("six losses, the library's; NPO's gradient at the target is GA's times the mean length, for any beta")
print("SimNPO's, for a small beta, is GA's with each *answer* weighing the same: another direction")

# %% [markdown]
# Why: the derivative of $-\frac2\beta\log\sigma(\beta(S-S_0))$ with respect to $S$ is $-\omega$, with
# $\omega=2\sigma(-\beta(S-S_0))=2p^\beta/(p^\beta+p_0^\beta)$ for the whole answer's probabilities $p=e^{-S}$,
# $p_0=e^{-S_0}$. So NPO is GA with a weight that is 1 at the target and falls to 0 as the answer is forgotten.
# At the first step NPO *is* GA (but for the mean length of answers, which acts as a larger rate). SimNPO's
# weight is $2/(1+e^{\beta\ell})$: a small loss weighs most, and no reference is needed.
#
# How hard does each loss pull down the right token $y$, when its probability is $p$? A gradient step lowers its
# logit $z_y$ in proportion to $\partial\mathcal L/\partial z_y$. Summed over an answer of $T$ tokens with $p$
# each: $1-p$ for GA; $\omega(1-p)$ for NPO (divided by $T$) and SimNPO; $p-1/V$ for ME; and for IDK $p$, at the
# first token, where another one should stand.

# %%
grid = torch.logspace(-6, -0.01, 60, dtype=torch.float64)
T, start, V = 10, 0.98, 700  # tokens, the target's p, vocabulary
pulls = {
    "GA": 1 - grid,
    "NPO / T": 2 * (1 - grid) / (1 + (start / grid) ** (0.1 * T)),
    "SimNPO": 2 * (1 - grid) / (1 + grid**-4.5),
    "ME (IDK: alike)": grid - 1 / V,
}
axes = notebook_axes(3.3)
for (name, style), line in zip(method_styles(pulls).items(), pulls.values(), strict=True):
    axes.semilogx(grid, line, style.line, color=style.color, marker=style.marker, markevery=9, label=name)
axes.invert_xaxis()
axes.set(xlabel="probability of each right token (forgetting goes right)", ylabel="pull on its logit")
_ = axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# GA never lets go of what is long forgotten: one way in which it destroys models. NPO lets go of an *answer*
# once that is improbable, IDK and ME of a *token*. None of these losses knows where the retrained model stands.
#
# ## One experiment
#
# Three ways to combine GA on the forget set with fine-tuning on the retain set, from the same target: NGDiff
# (tutorial 03), GDiff with $c=0.5$ (the plain difference of the losses), and GA alone. AdamW at 1e-3, 30
# rounds; 15 forget and 24 retain questions a round. Three seeds each, which draw the retain questions; a point
# each five rounds.

# %%
METHODS = {"NGDiff": NGDiff(), "GDiff 0.5": FixedWeights(0.5), "GA": ForgetOnly()}
SEEDS, paths, ends = (0, 1, 2), {}, {}
for name, strategy in METHODS.items():
    for seed in SEEDS:
        path = paths[name, seed] = [{**recall(target, data), "round": 0}]
        look = lambda t, model, path=path: path.append({**recall(model, data), "round": t})  # noqa: E731
        pair = world(train_on="pair", seed=seed)
        model = unlearned(target, pair, strategy, 30, look=look)
        ends[name, seed] = evaluator.evaluate(model, data, of_retrained)["summary"]


def last(name, key):
    return torch.tensor([ends[name, seed][key] for seed in SEEDS]).double()


# %%
axes = notebook_axes(3.6)
for name, style in method_styles(METHODS).items():
    for seed in SEEDS:
        x, y = ([point[f"{side}_rouge"] for point in paths[name, seed]] for side in ("forget", "retain"))
        label = name if seed == SEEDS[0] else None
        axes.plot(x, y, style.line, color=style.color, marker=style.marker, markersize=5, lw=1.2, label=label)
goal = [evaluated["retrained"]["summary"][f"{side}_rouge"] for side in ("forget", "retain")]
axes.plot(*goal, "*", color="#009E73", markersize=15, label="retrained")
axes.set(xlabel="forget ROUGE-L (best: at the star)", ylabel="retain ROUGE-L (higher is better)")
axes.invert_xaxis()
axes.legend(loc="lower left")
at = {n: [crossing(paths[n, seed], "forget_rouge", goal[0]) for seed in SEEDS] for n in METHODS}
there = {name: sum(point["retain_fact"] for point in points) for name, points in at.items()}
assert there["NGDiff"] > there["GDiff 0.5"] > there["GA"]
print("below the star, at equal forgetting, NGDiff keeps most facts and GA fewest (means of three seeds)")
# %% tags=["nbval-ignore-output"]
KEYS = ["forget_fact", "forget_rouge", "forget_probability", "retain_fact", "retain_rouge", "model_utility"]
KEYS += ["forget_quality", "privleak", "forget_efficacy", "model_capability", "overall"]
rows = ["| number | target | retrained | " + " | ".join(METHODS) + " |", "|:---" + "|---:" * 5 + "|"]
for key in KEYS:
    cells = [f"{evaluated[who]['summary'][key]:.2g}" for who in ("target", "retrained")]
    cells += [f"{(x := last(name, key)).mean():.2g} ({x.min():.2g} to {x.max():.2g})" for name in METHODS]
    rows.append(f"| {key.replace('_', ' ')} | " + " | ".join(cells) + " |")
mu = {name: last(name, "model_utility") for name in METHODS}
assert max(last(name, "forget_fact").max() for name in METHODS) < 0.1
assert min(mu["NGDiff"]) > max(mu["GDiff 0.5"]) and max(mu["GA"]) < 0.05
assert last("GA", "forget_efficacy").mean() > last("NGDiff", "forget_efficacy").mean()
assert last("NGDiff", "forget_rouge").mean() < goal[0] and min(last("NGDiff", "privleak")) > 0
Markdown("\n".join([*rows, "", "After 30 rounds; mean (smallest to largest) of three seeds."]))

# %% [markdown]
# All three forgot the facts, so they differ in what they broke. The numbers do not agree on who is best: GA has
# the best forget efficacy and a high forget quality (and, as it never looks at the retain set, three times the
# same run); NGDiff keeps most; OVR puts GA next to the target. And *none* stopped: below the retrained model's
# ROUGE-L, privleak far above 0. Where the paths pass below the star (the retrained model's ROUGE-L, after 8 to
# 21 rounds), the methods differ much less than at the end, in the same order. Such a comparison, *at matched
# forgetting*, can rank.
#
# ## The papers' tables in small
#
# `experiments/ngdiff_tofu*` hold studies by `unlearnkit compare`: 40 generated authors with ten questions each,
# four to forget, 60 rounds with AdamW, five seeds with a target and a retrained model of their own each. As in
# table 1: Verbmem is the ROUGE-L of the forget set, Utility that of the retain set. For TruthRatio the paper
# gives no formula; we take the mean of $\max(0,1-R)$ on the retain set, geometric. All at a rate of 3e-4; after
# an arrow with GeN (tutorial 04; the paper's AutoLR: its table 3 has the same form, and its NGDiff has it in
# table 1, too).
#
# `experiments/dual_optim_tofu` is paper 002's table (forget10) on the same data, two of its pairs of losses with
# four ways to step: *Joint* takes one step on the weighted sum, the others one forget step to five retain steps,
# DualOptim with a state for each side, DualOptim+ with a shared one and differences (tutorials 05 and 06). Each row
# has the one of four rates with the best OVR on another seed.

# %% tags=["nbval-ignore-output"]
paths_of = sorted(Path("../experiments").glob("ngdiff_tofu*/results.json"))
studies = {path.parent.name: read_json(path) for path in paths_of}
COLUMNS = ["gdiff_09", "gdiff", "gdiff_01", "npo", "lossnorm", "ngdiff"]
KEYS = {"Verbmem ↓": "verbmem", "Utility ↑": "utility", "TruthRatio ↑": "paper_truth_ratio"}
KEYS |= {"forget facts": "forget_fact", "retain facts ↑": "retain_fact", "model utility ↑": "model_utility"}
rows = ["| model | | target | retrained | GDiff .9 | .5 | .1 | NPO | LossNorm | NGDiff |", "|-|-" + "|-:" * 8]
for results in studies.values():
    methods, kind = methods_of(results), results["protocol"]["model"]
    columns = [[rows_of(results, role)] for role in ("target", "retrained")]
    columns += [[methods.get(f"{n}@3e-4", methods.get(n)), methods.get(f"{n}_gen")] for n in COLUMNS]
    for title, key in KEYS.items():
        pairs = [[fmean(value_of(row, key) for row in same) for same in pair if same] for pair in columns]
        cells = [" → ".join(f"{number:.2f}" for number in pair) for pair in pairs]
        rows.append(f"| {kind} | {title} | " + " | ".join(cells) + " |")
Markdown("\n".join(rows))

# %%
results, RATES = studies["ngdiff_tofu"], ("@1e-4", "@3e-4", "@1e-3", "_gen")
FIVE = [f"{name}@3e-4" for name in ("ngdiff", "lossnorm", "gdiff_09", "gdiff_07", "gdiff")]
kept = [row for row in results["rows"] if row["role"] != "method" or row["method"] in FIVE]
_, panels = plt.subplots(1, 2, figsize=(6, 3.6), sharey=True)
for ax, side, best in zip(panels, ("forget", "retain"), ("near retrained", "high"), strict=True):
    over_rounds({**results, "rows": kept}, f"{side}_rouge", ax, legend=False).set_title(f"best: {best}")
panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def seeds_of(name, key="utility"):
    return torch.tensor([value_of(row, key) for row in methods_of(results)[name]]).double()


assert max(seeds_of(f"{name}{rate}").mean() for name in ("npo", "gdiff_01") for rate in RATES) < 0.1
assert min(seeds_of("gdiff_09@1e-3")) > 0.85 and max(seeds_of("gdiff_09@1e-3", "model_utility")) < 0.6
assert min(seeds_of("npo@1e-4", "forget_quality")) > 0.05 and max(seeds_of("npo@1e-4", "model_utility")) < 0.4
print("NPO and GDiff 0.1 lose the retain set at every rate and with GeN")
print("GDiff 0.9 at 1e-3 keeps the retain set and loses model utility, with every seed")

# %%
there = [row for row in matched(results).rows if row.reached == row.seeds]
found = {row.method: row.values["retain_fact"].mean for row in there}
labels = ["GDiff 0.9", "GDiff 0.5", "GDiff 0.1", "NPO", "LossNorm", "NGDiff"]
axes, styles = notebook_axes(3.4), method_styles(labels).values()
for place, (name, label, style) in enumerate(zip(COLUMNS, labels, styles, strict=True)):
    heights = [found.get(name + rate, float("nan")) for rate in RATES]
    x = [i + place / 25 for i in range(4)]
    axes.plot(x, heights, style.marker, color=style.color, markersize=7, label=label)
axes.set_xticks(range(4), ["lr 1e-4", "lr 3e-4", "lr 1e-3", "GeN"])
axes.set_ylabel("retain facts at matched forgetting (↑ better)")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
assert min(seeds_of("lossnorm@3e-4")) > 0.95 and seeds_of("ngdiff@3e-4").mean() < 0.95
assert found["ngdiff@3e-4"] > found["gdiff@3e-4"] + 0.1 > found["npo@3e-4"]
print("at matched forgetting NGDiff keeps more than GDiff 0.5, and that more than NPO")
print("at the last round LossNorm, not NGDiff, has the best utility")

# %%
WAYS = {"Joint": "", "Alternate": "_alternate", "DualOptim": "_dual_optim", "DualOptim+": "_dual_optim_plus"}
steps = methods_of(read_json(Path("../experiments/dual_optim_tofu/results.json")))
steps = {name.partition("@")[0]: same for name, same in steps.items()}
_, panels = plt.subplots(1, 2, figsize=(6, 3.2), sharey=True)
ovr, facts = {}, {}
for ax, base, key in zip(panels, ("me_gd", "idk_gd"), ("overall", "overall_targeted"), strict=True):
    for place, (way, style) in enumerate(zip(WAYS, method_styles(WAYS).values(), strict=True)):
        ovr[base, way] = [value_of(row, key) for row in steps[base + WAYS[way]]]
        facts[base, way] = fmean(value_of(row, "retain_fact") for row in steps[base + WAYS[way]])
        ax.plot([place] * 5, ovr[base, way], style.marker, color=style.color, markersize=6, alpha=0.8)
    ax.set_xticks(range(4), WAYS, rotation=30, ha="right")
    ax.set(title=base.upper().replace("_", "+"), ylabel="OVR (higher is better)" if ax is panels[0] else None)
for base in ("me_gd", "idk_gd"):
    assert max(ovr[base, "DualOptim+"]) < min(ovr[base, "Alternate"]) and facts[base, "Joint"] < 0.96
print("with both losses Alternate, not DualOptim+, has the best OVR; Joint alone loses retain facts")

# %% [markdown]
# **What appears of paper 001.** GDiff 0.1 and NPO destroy the model, at every rate. GDiff 0.5 forgets and pays,
# most around round 25; later it recovers, because here each retain question returns every eleventh round. At
# matched forgetting NGDiff keeps more than GDiff 0.5, GDiff 0.1 and NPO. (Three methods are missing at 1e-4:
# they do not come down so far in 60 rounds with every seed.) With GeN Verbmem is lower or as low (table 3 has
# that, too) but neither is NGDiff's utility higher, nor most TruthRatios, as they are there. GeN finds a
# *rate*. It does not say when to stop, and all methods go on.
#
# **What Utility does not see.** GDiff 0.9 at a rate of 1e-3 keeps a Utility above .9, and TOFU's model utility
# falls from .9 to .5 and less: real authors and world facts, which no retain batch holds, are lost. With GeN it
# goes so with all six (last row). Paper 001 reports the retain set only.
#
# **What forget quality does not see.** NPO at 1e-4, with a utility near 0, passes the KS test at .05 with every
# seed, of 40 questions.
#
# **What does not appear.** NGDiff is not the best of all. At the last round, at 3e-4, LossNorm keeps the whole
# retain set, and GDiff 0.9 more than NGDiff; at matched forgetting the three are level at that rate. The paper
# says of LossNorm on Phi-1.5, with a Verbmem of .432, that it cannot unlearn. But look at the retrained model's
# column, which the paper's table does not have: a model that never saw the forget set has a Verbmem of .3 here
# (and of .41 on TOFU itself), and LossNorm, below that, knows no more of the forgotten facts than the retrained
# model does. A Verbmem far below the retrained model's is not better forgetting. It is another behaviour, which
# shows whom somebody wanted forgotten.
#
# **Paper 002's order**, DualOptim+ before DualOptim before Alternate before Joint, does not appear either. Joint
# pays with what is kept, as there: it alone loses retain facts. But Alternate has the best OVR, and DualOptim+ the
# lowest: at one rate it goes further than the others, so that the lowest rate suits it best for IDK+GD, and 30
# rounds of that do not teach to refuse. Ranked at matched forgetting by model utility, ME+GD with DualOptim and
# with DualOptim+ come first, by about as much as seeds differ.
#
# ## What went wrong, what is not proven
#
# - **Everything here is small**: 0.1 to 0.7 million parameters that learned nothing but these questions. There
#   is no pretraining that could be hurt or could bring facts back. Answers come from templates: hence the high
#   floor of ROUGE-L, and hence fact accuracy beside it.
# - **The experiment's seeds draw retain questions**, nothing else: one target, one forget set of 15 questions.
#   Run apart with four other targets, every claim held. With two other sets of authors the order of the three
#   methods and the winners held, but the floors moved: ROUGE-L of the retrained model .11 and .17 in place of
#   .33, its area .23 and .41 in place of .59 (an attack on 15 against 15 rows, none of which it saw!), and the
#   destroyed model's forget quality was .03 and .08, about ten times the target's or more.
# - **Similarity and entailment are proxies** here, so FE, MC and OVR are not comparable with published ones.
# - **No number looks inside.** All of them ask for answers. Tutorial 12 asks the weights.
# - **Slips in paper 001.** In table 1 NGDiff is bold in all 15 rows and best in six. On Falcon-1B, LossNorm's
#   Utility is .521 and GDiff-0.9's .434, above NGDiff's .428; on Llama2-7B, the TruthRatio of GDiff-0.5 is
#   .364, of GDiff-0.9 .340, above .334. (Among methods with a Verbmem of at most .1, NGDiff's Utility is best
#   on four of five models.) The NGDiff/Phi-1.5 cells mix two runs: by table 3, Verbmem .024 is without AutoLR
#   (GeN), Utility .747 and TruthRatio .353 are with it. The text says that LossNorm does not unlearn on
#   Llama2-7B, where its Verbmem is .010, and that GDiff with $c\le.5$ and NPO do; on Mistral-7B they have .945,
#   .410 and .385. It calls .747 "19.5 % higher than the best results without AutoLR"; by table 3 it is 23 %
#   higher than NGDiff's .607, and GDiff-0.9 has .992. TruthRatio has no formula.
# - **In paper 002**, OVR has no formula either; (7) misses one printed cell by more than rounding (Llama 2,
#   IDK+GD, 5 %, DO+ 8 bit: 74.42 for 74.46).
#
# ## Summary
#
# - Ask three things of an unlearned model: what it still says (facts, ROUGE-L), how probable it finds it (P,
#   truth ratio, privleak), and what it lost (model utility). And always the same of the retrained model.
# - Each number alone has a cheap winner: a target that forgot nothing has full utility, a destroyed model the
#   best forget efficacy and, with luck, a high forget quality; OVR gives both a half.
# - Say which truth ratio, which mean over tokens, which $n$. NPO starts as GA.
# - NGDiff beats GDiff 0.5, GDiff 0.1 and NPO at matched forgetting; LossNorm and GDiff 0.9 do as well as
#   NGDiff.
#
# ## Exercises
#
# **Exercise 1 (recall).** Three models, forget quality and model utility: X .94 and .00; Y $10^{-20}$ and .62;
# Z .40 and .58. Which was unlearned, which was not touched, which was destroyed? What else would you ask of Z?
#
# <details><summary>Answer</summary>Z, Y, X. Of Z: $n$, the answers themselves, facts, privleak against held-out
# authors, and the same with another seed.</details>
#
# **Exercise 2 (knob).** Call `unlearned(target, world(train_on="pair"), ForgetOnly(), rounds)` for 5, 10, 20 and
# 60 rounds and evaluate. How do forget quality and model utility go? When would you have stopped, by which
# number?
#
# <details><summary>Answer</summary>Measured with the target shown: forget quality 4e-4, .008, .68, .18 (and .94 after
# 15 rounds), utility .89, .77, .00, .00. Forget quality passes only where little is left.</details>
#
# **Exercise 3 (code).** IDK teaches to refuse, and the model soon refuses everything. Answer preservation (AP),
# the retain side of paper 002's IDK+AP, keeps retain questions' answers ahead of the refusal: with the summed
# negative log-likelihoods $S$ of the answer and $S_w$ of the refusal it is the mean over answers of
# $-\frac1\beta\log\sigma(\beta(S_w-S))$. (There is no reference, and no 2.)


# %%
def ap_loss(answer, refusal, beta=0.1):
    """Return the loss from summed negative log-likelihoods, [batch] each."""
    ### BEGIN SOLUTION
    return -(1 / beta) * logsigmoid(beta * (refusal - answer)).mean()
    ### END SOLUTION


r, same = batch["retain"], torch.tensor([7.0, 9.0])
host = PlainHost(model, forget=None, retain=AnswerPreservation(0.1), optimizer=None)
check(
    ap_loss,
    Holds(lambda loss: abs(loss(same, same, beta=0.5) - 2 * log(2)) < 1e-5, "Both as likely: log(2) / beta."),
    Holds(lambda loss: loss(same, 9 * same) < loss(9 * same, same), "A probable answer has a small S."),
    Case((model.losses(r), model.losses(r["alternative"])), host.loss("retain", batch), "Mean over answers."),
)

# %% [markdown]
# **Exercise 4 (open).** Whoever needs unlearning has no retrained model. Which numbers of this notebook can you
# still give a goal, and from what? Design a rule that stops a method, using held-out authors alone, and try it
# on NGDiff.
#
# ## References
#
# - Paper 001: *Unlearning as Multi-Task Optimization* (NGDiff, GeN). Paper 002: DualOptim and DualOptim+.
# - Maini et al., *TOFU: a task of fictitious unlearning for LLMs*, 2024. Yuan et al., *A closer look at machine
#   unlearning for large language models*, 2024. Shi et al., *MUSE*, 2024. *open-unlearning*, 2025.
# - Zhang et al., *Negative preference optimization*, 2024. Fan et al., *SimNPO*, 2024. Rafailov et al., *DPO*,
#   2023.
# - Lin, *ROUGE*, 2004. Carlini et al., *Extracting training data from large language models*, 2021. Tirumala et
#   al., *Memorization without overfitting*, 2022. Shi et al., *Detecting pretraining data* (Min-k), 2023.
