# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07  When has a classifier forgotten its images?
#
# > **Time** 1 minute to run, 60 minutes to read. **Hardware** any CPU.
# > **You need** tutorial 01 (target, retrained reference, why a tenth of the labels is wrong), 03 (NGDiff), 05
# > (DualOptim), PyTorch.
# > **Afterwards** you can say what each of FA, RA, TA and MIA should come out as and why; write both published
# > membership attacks, the Gap and Std of paper 002 with intervals, and the losses and masks of RL, SCRUB, SalUn and
# > SFRon; keep a mask hard and batch statistics still; and read a table of such methods without being fooled.
# > **Papers** 002, evaluation criteria and tables (a), (b) of the image experiments; 001, appendix C and table 4.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from unlearnkit import (
    NLL,
    AdaptiveAscent,
    Alternate,
    AscentKL,
    AscentNLL,
    DualOptim,
    FixedWeights,
    ForgetOnly,
    NGDiff,
    NLLAndKL,
    PairedDatasets,
    PlainHost,
    RandomLabels,
    RetainOnly,
)
from unlearnkit.artifacts import read_json
from unlearnkit.callbacks.frozen_statistics import statistics_layers
from unlearnkit.gradients import Mask, saliency_mask
from unlearnkit.metrics.functional.gap import NUMBERS, average_gap, average_std
from unlearnkit.metrics.functional.membership import confidence_nonmember_rate, entropy_member_rate
from unlearnkit.models import WithCriterion
from unlearnkit.plots import method_styles, notebook_axes
from unlearnkit.plots.paths import methods_of, rows_of
from unlearnkit.study.matched import matched
from unlearnkit.study.paired_gap import stepping_pairs
from unlearnkit.testing.exercise import Case, Holds, check
from unlearnkit.testing.lesson import accuracy, digit_net, digits, fresh, train_net

# %% [markdown]
# ## The picture: what a model knows by heart alone
#
# Three times the same job, on 1200 handwritten digits of 8 x 8 pixels. A **target** was trained on all of
# them and is to forget some 120: drawn at random, with clean labels; drawn at random, after a tenth of all
# training labels was replaced by wrong ones; or a whole class, the threes. The **retrained** models (several
# seeds) were trained without them.
#
# Each dot below is one image of the forget set: to the right, the target's loss on it (negative
# log-likelihood of its label); upwards, the loss of a retrained model. On the line both say the same. Above
# the line lies what the target knows *because it saw that image*. Orange dots have a wrong label.

# %%
worlds = {
    "random, clean labels": digits(forget=0.1, noise=0.0),
    "random, 10 % wrong labels": digits(forget=0.1, noise=0.1),
    "class 3, clean labels": digits(forget=3, noise=0.0),
}
CLEAN, NOISY, CLASS = worlds
SEEDS = {CLEAN: (1, 2, 3), NOISY: (1, 2, 3, 4, 5), CLASS: (1, 2, 3)}
EPOCHS = {CLEAN: 25, NOISY: 50, CLASS: 25}  # wrong labels take longer to learn by heart
train = partial(train_net, lr=5e-3, batch_size=128)
targets = {name: train(digit_net(), data.train, EPOCHS[name]) for name, data in worlds.items()}
retrained = {
    name: [train(digit_net(seed), data.retain, EPOCHS[name], seed=seed) for seed in SEEDS[name]]
    for name, data in worlds.items()
}

# %%
_, panels = plt.subplots(1, 2, figsize=(6, 3.2), sharex=True, sharey=True)
for ax, name in zip(panels, (CLEAN, NOISY), strict=True):
    images, labels = worlds[name].forget.tensors
    wrong = worlds[name].noisy[: len(labels)]
    nets = targets[name], retrained[name][0]
    x, y = (cross_entropy(n(images), labels, reduction="none").detach().clamp_min(1e-6) for n in nets)
    for rows, color, label in ((~wrong, "#0072B2", "right label"), (wrong, "#D55E00", "wrong label")):
        if rows.any():
            ax.loglog(x[rows], y[rows], "o", color=color, markersize=4, alpha=0.6, label=label)
    ax.plot([1e-6, 30], [1e-6, 30], color="black", linewidth=0.8)
    ax.set(title=name, xlabel="loss of the target, nats")
panels[0].set_ylabel("loss of a retrained model, nats")
_ = panels[1].legend(loc="lower right")


# %%
def parts(data):
    """Return forget, retain and test set; of the test set the images of classes that are retained."""
    images, labels = data.test.tensors
    known = torch.isin(labels, data.retain.tensors[1])
    return data.forget, data.retain, TensorDataset(images[known], labels[known])


def accuracies(net, data):
    return torch.tensor([100 * accuracy(net, part) for part in parts(data)])


of_targets = {name: accuracies(targets[name], data) for name, data in worlds.items()}
of_retrained = {n: torch.stack([accuracies(net, data) for net in retrained[n]]) for n, data in worlds.items()}
memorised = {n: (of_targets[n][0] - of_retrained[n][:, 0].mean()).item() for n in worlds}
assert memorised[CLEAN] < 7 and memorised[NOISY] > 12 and memorised[CLASS] > 95
print("clean labels: retrained models know the forget set almost as well as the target: no signal")
print("wrong labels: they know less of it by more than 12 points; a class they never saw they do not know")

# %% [markdown]
# ## What forgetting means for a classifier
#
# Paper 002 asks for four accuracies: on the forget set (**FA**), on the retain set (**RA**), on the test set
# (**TA**), and of a membership attack on the forget set (**MIA**, next section), *each near the retrained
# model's*. What is that?
#
# **Random forget set.** To a retrained model, forget and test images are the same thing: draws from one
# distribution, of which it has seen none. So in expectation
#
# $$\text{FA}_{\text{retrained}}=\text{TA}_{\text{retrained}}. \tag{1}$$
#
# The ideal FA is the test accuracy, not 0. A model with FA = 0 still knows the forget set: it avoids these
# labels.
#
# **With wrong labels.** FA is taken with the labels of training. Let a share $q$ of the forget labels be
# wrong. A model that never saw them answers with the digit it sees, so it is right about as often as the
# label is right and TA allows:
#
# $$\text{FA}_{\text{retrained}}\approx(1-q)\,\text{TA}_{\text{retrained}}. \tag{2}$$
#
# **A forgotten class.** A model that never saw a label has learned not to say it: FA = 0 is ideal, and TA is
# taken over the other classes.
#
# (1) and (2) are expectations. FA over 120 images has a standard error of $\sqrt{.8\cdot.2/120}\approx 3.7$
# points where it is 80 %.

# %% tags=["nbval-ignore-output"]
rows = ["| forget set | model | FA | RA | TA |", "|:---|:---|---:|---:|---:|"]
for name, found in of_retrained.items():
    rows.append(f"| {name} | target | " + " | ".join(f"{v:.1f}" for v in of_targets[name]) + " |")
    cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(found.mean(0), found.std(0), strict=True)]
    rows.append(f"| {name} | retrained, ± standard deviation | {' | '.join(cells)} |")
mean = {name: found.mean(0) for name, found in of_retrained.items()}
right = 1 - worlds[NOISY].noisy[:120].double().mean()
assert abs(mean[CLEAN][0] - mean[CLEAN][2]) < 4, "(1), where the standard error is below 2 points"
assert abs(mean[NOISY][0] - right * mean[NOISY][2]) < 7.5, "(2), within two standard errors"
assert mean[CLASS][0] == 0, "a class that was never seen is never said"
Markdown("\n".join(rows))

# %% [markdown]
# ## Two membership attacks
#
# An attacker asks of an image: was the model trained on it? Both attacks of the literature take one number
# from the model's probabilities $p$, learn from *known* members (retain set) and outsiders (test set) what it
# says, and are then asked about the forget set.
#
# * **Threshold on confidence.** The number is $p_y$, the probability of the label. An image is a member if
#   $p_y\ge\tau$, with the $\tau$ that is right most often, members and outsiders weighing one half each.
# * **Classifier on entropy.** The number is $h=-\sum_k p_k\log p_k$, which needs no label. Logistic
#   regression finds $w$ for $P(\text{member})=\sigma(w_0h+w_1)$, both kinds weighing the same (the loss has
#   $w_0^2/2$ added). With one number this is a threshold, too: at $h=-w_1/w_0$. It is the MIA of SFRon and of
#   paper 002.
#
# SalUn's MIA learns from confidence, by a support-vector machine (SVC) that may find any set, not just a
# half-line.
#
# **What is counted?** The two above count forget images called *members*; SalUn's counts those called
# *non-members*. Where one is high for a model that remembers, the other is low. **What is ideal?** Neither 0
# nor 100 %, but what the retrained model has. A model generalises, so it is sure of many images it never saw,
# and the attacker falls for it: in paper 002 the attack calls 76 % of the forget set members of a model that
# never saw it.


# %%
def threshold_attack(members, outsiders, asked):
    """Return the share of `asked` that is called members; members have large numbers."""
    taus = torch.cat([members, outsiders]).unique()[:, None]
    right = (members >= taus).double().mean(1) + (outsiders < taus).double().mean(1)
    return (asked >= taus[right.argmax()]).double().mean().item()


def fitted(x, y):
    """Return w of a balanced logistic regression of y (0 or 1) on one number x, by Newton's method."""
    weight = torch.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y).mean())
    X, ridge, w = torch.stack([x, 0 * x + 1], 1), torch.tensor([[1.0, 0], [0, 0]]).double(), 0 * x[:2]
    for _ in range(30):
        p = (X @ w).sigmoid()
        hessian = X.T @ (X * (weight * p * (1 - p))[:, None]) + ridge
        w = w - torch.linalg.solve(hessian, X.T @ (weight * (p - y)) + ridge @ w)
    return w


# %%
def classifier_attack(members, outsiders, asked):
    w = fitted(torch.cat([members, outsiders]), torch.cat([0 * members + 1, 0 * outsiders]))
    return (w[0] * asked + w[1] > 0).double().mean().item()


@torch.no_grad()
def clues(net, data):
    """Return entropies and confidences of retain, test and forget images: two lists of three tensors."""
    forget, retain, test = parts(data)
    answers = [(net(p.tensors[0]).double().softmax(-1), p.tensors[1]) for p in (retain, test, forget)]
    entropies = [torch.special.entr(p).sum(-1) for p, _ in answers]
    return entropies, [p.gather(-1, labels[:, None])[:, 0] for p, labels in answers]


data, target, images, labels = worlds[NOISY], targets[NOISY], *worlds[NOISY].forget.tensors
for sets in (clues(net, data)[0] for net in (target, *retrained[NOISY])):
    torch.testing.assert_close(classifier_attack(*sets), entropy_member_rate(*sets), atol=0.009, rtol=0.0)
print("Newton's method and the library's attack agree, to one image of 120 at most")

# %%
_, panels = plt.subplots(1, 2, figsize=(6, 3.1), sharey=True)
styles = method_styles(["retain (members)", "test (outsiders)", "forget (asked)"])
for ax, (title, net) in zip(panels, (("target", target), ("retrained", retrained[NOISY][0])), strict=True):
    entropies, _ = clues(net, data)
    w = fitted(torch.cat(entropies[:2]), torch.cat([torch.ones(1080), torch.zeros(597)]).double())
    for (label, style), numbers in zip(styles.items(), entropies, strict=True):
        share = torch.arange(1, len(numbers) + 1) / len(numbers)
        ax.step(numbers.clamp_min(1e-4).sort().values, share, style.line, color=style.color, label=label)
    ax.axvline((-w[1] / w[0]).item(), color="black", linestyle=":")
    ax.text((-w[1] / w[0]).item() * 0.8, 0.02, "called\nmembers", ha="right", fontsize=9)
    ax.set(xscale="log", title=title, xlabel="entropy of the answer, nats")
panels[0].set_ylabel("share with less entropy")
_ = panels[0].legend(loc="upper left")

# %% tags=["nbval-ignore-output"]
wrong, rates = data.noisy[:120], {}
for name, nets in {"target": [target], "retrained": retrained[NOISY]}.items():
    found = []
    for (*h, asked_h), (*p, asked_p) in (clues(net, data) for net in nets):
        rate = [classifier_attack(*h, asked_h), threshold_attack(*p, asked_p)]
        rate += [confidence_nonmember_rate(*p, asked_p), threshold_attack(*p, asked_p[wrong])]
        found.append([100 * value for value in rate])
    rates[name] = torch.tensor(found).mean(0)
rows = ["| per cent | entropy | confidence | SVC, *non*-members | confidence, wrong labels |"]
rows.append("|:---|---:|---:|---:|---:|")
rows += [f"| {name} | " + " | ".join(f"{v:.1f}" for v in found) + " |" for name, found in rates.items()]
more = rates["target"] - rates["retrained"]
assert more[0] > 5 and more[1] > 5 and more[2] < -8 and (rates["retrained"][:2] > 50).all()
Markdown("\n".join(rows))

# %% [markdown]
# All three tell target and retrained models apart, and the third in the other direction. All call most of the
# forget set members of models that never saw it. The last column: of wrong labels retrained models show no
# sign.
#
# Entropy sees no label. It says how sure the model is, not of what: a method that makes the model sure of
# *another* label stays invisible to paper 002's attack.
#
# ## One number for four: Gap and Std
#
# Let $a_{sk}$ be number $k$ (FA, RA, TA, MIA) of seed $s$, and $a^*_{sk}$ the retrained models'. Paper 002's
# tables have
#
# $$\text{Gap}=\frac14\sum_k\Big|\frac1n\sum_s a_{sk}-\frac1n\sum_s a^*_{sk}\Big|,\qquad
# \text{Std}=\frac14\sum_k\Big(\frac1n\sum_s(a_{sk}-\bar a_k)^2\Big)^{1/2}. \tag{3}$$
#
# The absolute value is taken *after* the mean over seeds, so seeds that miss on both sides cancel; the mean
# of each seed's own gap is never smaller. A **bootstrap interval** says how far the seeds at hand could have
# led us astray: draw $n$ of the $n$ seeds with replacement, compute the number, repeat, and take the middle
# 95 %. (With five seeds such an interval is too short: it covers less than 95 %.)


# %%
def gap(unlearned, retrained):
    """[..., seeds, 4] each -> [...]"""
    return (unlearned.mean(-2) - retrained.mean(-2)).abs().mean(-1)


def std(unlearned):
    return unlearned.std(-2, correction=0).mean(-1)


def drawn(seed=0, n=5, draws=2000):
    """Return which seeds each bootstrap draw has, [draws, n]."""
    return torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))


def interval(values):
    return values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype))


# %%
def four(net):
    """Return FA, RA, TA and MIA (entropy, called members) in per cent, [4]."""
    return torch.tensor([*accuracies(net, data), 100 * classifier_attack(*clues(net, data)[0])])


reference, start = torch.stack([four(net) for net in retrained[NOISY]]), four(target)
a = reference + torch.randn(5, 4)  # any numbers will do to compare formulas
mine, theirs = ([dict(zip(NUMBERS, row, strict=True)) for row in x.tolist()] for x in (a, reference))
torch.testing.assert_close(gap(a, reference).item(), average_gap(mine, theirs), rtol=1e-4, atol=0.0)
torch.testing.assert_close(std(a).item(), average_std(mine), rtol=1e-4, atol=0.0)
again = gap(reference[drawn(0)], reference[drawn(1)]).mean().item()
assert again < 2.5 < 6 < gap(start.expand(5, 4), reference)
print("the formulas and the library agree")
print("two draws of five retrained models have a mean Gap of under 2.5 points; doing nothing has over 6")

# %% [markdown]
# So the ideal Gap that can be *measured* is not 0: even retraining, judged by other retrained models, has one.
#
# ## The methods
#
# With $f$ a forget batch, $r$ a retain batch, $\ell$ cross-entropy, $\theta_0$ the target:
#
# | method | forget side minimises | retain side minimises | what moves |
# |:---|:---|:---|:---|
# | FT | nothing | $\ell(r)$ | all |
# | GA | $-\ell(f)$ | nothing | all |
# | RL | $\ell(x_f,\tilde y)$, labels $\tilde y$ drawn at random | $\ell(r)$ | all |
# | SalUn | as RL | as RL | the half with the largest $\lvert\nabla\ell(f)\rvert$ |
# | SCRUB | $-D(f)$, $D=T^2\,\mathrm{KL}(p_{\theta_0}\Vert p_\theta)$ | $\gamma\,\ell(r)+\alpha D(r)$ | all |
# | SFRon | $-\sum_i c_i\ell_i/\sum_i c_i$, $c_i=\ell_i^{-\lambda}$ | $\ell(r)$ | forget steps: $F_f\ge\gamma F_r$ |
#
# KL is taken at temperature $T$ (logits divided by $T$). SFRon's $c_i$ are constants of the step and spare
# images that are forgotten already; $F$ are mean squared gradients of the two sides. Two traps: at the target
# KL *and its gradient* are 0, so a first forget step of SCRUB moves nothing; and $c_i$ is unbounded (exercise
# 3). SCRUB from scratch:


# %%
def kl(reference, logits, T):
    p, q = (reference / T).log_softmax(-1), (logits / T).log_softmax(-1)
    return (T**2 * (p.exp() * (p - q)).sum(-1)).mean()


frozen, model = WithCriterion(fresh(target)), WithCriterion(fresh(retrained[NOISY][0]))
pairs = PairedDatasets(data.forget, data.retain, batch_size=64)
f, r = pairs.batch(0)["forget"], pairs.batch(0)["retain"]
away, near = AscentKL(temperature=2.0), NLLAndKL(gamma=1.0, alpha=0.5, temperature=2.0)
host = PlainHost(model, forget=away, retain=near, optimizer=None, reference=lambda: frozen)
torch.testing.assert_close(-kl(frozen(f), model(f), 2.0), host.loss("forget", pairs.batch(0)))
mine = cross_entropy(model(r), r["targets"]) + 0.5 * kl(frozen(r), model(r), 2.0)
torch.testing.assert_close(mine, host.loss("retain", pairs.batch(0)))
slopes = torch.autograd.grad(kl(frozen(f).detach(), frozen(f), 2.0), list(frozen.parameters()))
assert max(slope.abs().max() for slope in slopes) < 1e-6
print("both sides of SCRUB: the library's losses; its forget gradient at the target is zero")

# %% [markdown]
# ## A mask that is hard
#
# SalUn lets only those weights move that matter to the forget data. Published code multiplies the *gradient*
# by the mask. That is not enough (issue 32 of SalUn's repository, mended since): the optimizer adds things of
# its own.
#
# - **Weight decay** moves every weight, at each step: by $-\eta\,\omega\,\theta$, whatever the gradient.
# - **Momentum** moves a masked weight as long as its buffer is not empty: after steps without the mask (of
#   training, or of a retain side that is not masked). Begun afresh and always masked, it stays 0.
#
# Hard means: after any number of steps a frozen weight has the *same bits*. So step, then put frozen weights
# back and clear what the optimizer holds of them:


# %%
def salun_mask(net, images, labels, keep=0.5):
    """True where the forget loss's gradient is among the largest `keep` of all weights."""
    slopes = torch.autograd.grad(cross_entropy(net(images), labels), list(net.parameters()))
    every = torch.cat([slope.abs().flatten() for slope in slopes])
    least = every.topk(int(keep * len(every))).values.min()
    return [slope.abs() >= least for slope in slopes]


def restore_(optimizer, parameters, before, mask):
    for p, old, kept in zip(parameters, before, mask, strict=True):
        p.data = torch.where(kept, p.data, old)
        for value in optimizer.state[p].values():
            if torch.is_tensor(value) and value.shape == p.shape:
                value.mul_(kept)


random_labels = RandomLabels(seed=1)
other_labels = random_labels.labels(f["targets"], f["index"], classes=10)


# %%
def masked_steps(make_optimizer, way, unmasked=0):
    """Return all weights after some RL steps without and 10 with the mask, and which frozen ones moved in those."""
    net = fresh(target)
    weights, optimizer = list(net.parameters()), make_optimizer(net.parameters())
    library, copies = Mask(mask, weights), []
    for t in range(unmasked + 10):
        masked, copies = t >= unmasked, [*copies, [p.detach().clone() for p in weights]]
        slopes = torch.autograd.grad(cross_entropy(net(f["inputs"]), other_labels), weights)
        for p, slope, kept in zip(weights, slopes, mask, strict=True):
            p.grad = slope * kept if masked else slope
        with library.still(weights, optimizer) if masked and way == "library" else nullcontext():
            optimizer.step()
        if masked and way == "mine":
            restore_(optimizer, weights, copies[-1], mask)
    return weights, torch.cat([(p != s)[~k] for p, s, k in zip(weights, copies[unmasked], mask, strict=True)])


# %%
mask = salun_mask(target, images, labels)
whole = {"inputs": images, "targets": labels, "index": torch.arange(120)}
theirs = saliency_mask(frozen, lambda side: [whole], "salun", keep=0.5)
assert all(torch.equal(*pair) for pair in zip(mask, theirs, strict=True))
sgd = partial(torch.optim.SGD, lr=0.01)
heavy, decaying = partial(sgd, momentum=0.9), partial(sgd, weight_decay=5e-4)
share = {n: masked_steps(heavy, "gradient", unmasked=n)[1].double().mean() for n in (0, 3)}
assert share[0] == 0 and share[3] > 0.01 and masked_steps(decaying, "gradient")[1].double().mean() > 0.9
print("masked gradients: decay moves nearly all frozen weights, old momentum some, fresh momentum none")
for make in (heavy, decaying, torch.optim.AdamW):
    (mine, moved), (theirs, too) = (masked_steps(make, way, unmasked=3) for way in ("mine", "library"))
    assert not moved.any() and not too.any()
    torch.testing.assert_close(mine, theirs, rtol=0.0, atol=0.0)
print("put back after each step: no frozen weight moves by a bit; the library's Mask gives the same weights")

# %% [markdown]
# ## The trap of batch statistics
#
# Batch norm normalises by the batch's own mean and variance in train mode, by running means in eval mode, and
# *each forward pass in train mode moves those running means*. They are no weights: no gradient, no mask stops
# them. So
#
# 1. evaluating in train mode judges an image by its neighbours, which is fatal where a loader is sorted by
#    class;
# 2. forget-only batches (one class!), or a probe of the loss along a direction, change the model *without any
#    step*.
#
# Three nets with batch norm (the nets above have none), trained on all digits. The forget set is the class of
# threes, the test set is of the nine other classes. No optimizer appears from here on:


# %%
def norm_net(seed):
    torch.manual_seed(seed)
    width, layers = [1, 16, 32, 64], []
    for i in range(3):
        layers += [nn.Conv2d(width[i], width[i + 1], 3, stride=2 if i else 1, padding=1)]
        layers += [nn.BatchNorm2d(width[i + 1]), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(256, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers)


@torch.no_grad()
def in_train_mode(net, images, labels, order):
    answers = torch.cat([fresh(net)(rows).argmax(-1) for rows in images[order].split(64)])
    return (answers == labels[order]).double().mean().item()


# %%
forget, _, test = parts(worlds[CLASS])
ways = ["eval mode", "train mode, shuffled", "train mode, sorted by class"]
ways, found = [*ways, "eval mode, after 60 forget batches", "the same, statistics held"], []
for seed in range(3):
    net = train_net(norm_net(seed), worlds[CLASS].train, epochs=8, lr=5e-3, seed=seed).eval()
    orders = torch.randperm(len(test)), test.tensors[1].argsort(stable=True)
    found.append([accuracy(net, test), *(in_train_mode(net, *test.tensors, order) for order in orders)])
    for held in (False, True):
        moving = fresh(net)  # in train mode
        for layer in statistics_layers(moving) if held else ():
            layer.eval()
        for rows in torch.randint(len(forget), (60, 64)):
            moving(forget.tensors[0][rows])
        found[-1].append(accuracy(moving.eval(), test))
plain, shuffled, by_class, drifted, held = found = 100 * torch.tensor(found).T

# %%
axes = notebook_axes(2.6)
for place, values in enumerate(found):
    color = "#D55E00" if place in (2, 3) else "#0072B2"
    axes.plot(values, [place] * 3, "o", color=color, markersize=7, alpha=0.7)
axes.set(yticks=range(5), yticklabels=ways, xlabel="test accuracy (%, higher is better)", xlim=(0, 103))
axes.set_title("The same weights each time, three nets", loc="left")
axes.invert_yaxis()
assert (by_class < plain - 20).all() and (shuffled > plain - 3).all()
assert (drifted < plain - 0.1).any() and torch.equal(plain, held)
print("train mode, sorted by class: more than 20 points lost; forget batches alone: some accuracy lost")
print("with statistics held nothing is lost")

# %% [markdown]
# The first trap is deep and easy to see, the second is shallow here, which makes it easy to overlook. (In
# training runs the callback `FrozenStatistics` holds them; the library's probes and evaluators use eval
# mode.)
#
# ## The experiment
#
# Paper 002's protocol in small: one target, 10 % forgotten at random, 10 % wrong labels, five unlearning
# seeds (batches and random labels), 40 rounds of 64 forget and 64 retain images, compared with the five
# retrained models.
#
# Every method's rate is the one of eight (from 3e-5 to 1e-2) with the smallest Gap on two other seeds: the
# same search for all, run apart from this notebook, on the same target, forget and test images. DualOptim is
# one Adam a side; its rate is the forget side's, the retain side's is fixed at 1e-3. That is a choice: with
# 3e-4, the same search finds Gaps of 6.0 (RL), 5.6 (SalUn) and 4.4 (SFRon) in place of 4.9, 5.1 and 3.2
# (exercise 2), and with 1e-2 lower ones than either, because a high retain rate forgets by itself.

# %%
RETAIN_RATE, ROUNDS = 1e-3, 40
one, joint, fading = torch.optim.Adam, lambda: FixedWeights(0.5), lambda: Alternate(forget_fade=ROUNDS)
two = lambda p, lr: DualOptim(p, forget=partial(one, lr=lr), retain=partial(one, lr=RETAIN_RATE))  # noqa: E731
METHODS = {  # forget side, strategy, optimizer, rate, mask
    "FT": (None, RetainOnly, one, 1e-2, None),
    "GA": (AscentNLL, ForgetOnly, one, 1e-4, None),
    "NGDiff": (AscentNLL, NGDiff, one, 2e-4, None),
    "RL": (RandomLabels, joint, one, 1e-4, None),
    "RL + DualOptim": (RandomLabels, Alternate, two, 5e-4, None),
    "SalUn": (RandomLabels, joint, one, 1e-4, "salun"),
    "SalUn + DualOptim": (RandomLabels, Alternate, two, 5e-4, "salun"),
    "SFRon": (AdaptiveAscent, fading, one, 1e-2, "fisher_ratio"),
    "SFRon + DualOptim": (AdaptiveAscent, fading, two, 1e-3, "fisher_ratio"),
}

# %%
scored = [pairs.batch(t) for t in range(16)]  # 17 batches hold the retain set once
scores = ("salun", "fisher_ratio")
masks = {s: saliency_mask(frozen, lambda side: [batch[side] for batch in scored], s) for s in scores}


def unlearned(name, seed):
    objective, make_strategy, make_optimizer, rate, score = METHODS[name]
    forget = objective and (objective(seed=seed) if objective is RandomLabels else objective())
    model, strategy = WithCriterion(fresh(target)), make_strategy()
    host = PlainHost(
        model, forget=forget, retain=NLL(), optimizer=make_optimizer(model.parameters(), lr=rate)
    )
    host.mask = Mask(masks[score], host.parameters, hard=score == "salun") if score else None
    batches = PairedDatasets(data.forget, data.retain, batch_size=64, seed=seed)
    for t in range(ROUNDS):
        strategy.step(host, batches.batch(t))
    return four(model.network)


# %% tags=["nbval-ignore-output"]
outcome = {name: torch.stack([unlearned(name, seed) for seed in range(5)]) for name in METHODS}
gaps = {name: gap(found, reference).item() for name, found in outcome.items()}
# Unlearning seeds and retrained seeds are no pairs, so they are drawn apart.
bars = {name: interval(gap(found[drawn(0)], reference[drawn(1)])) for name, found in outcome.items()}
rows = ["| method | FA | RA | TA | MIA | Gap [95 %] | Std [95 %] |", "|:---|---:|---:|---:|---:|---:|---:|"]
for name, found in {"retrained": reference, "target": start.expand(5, 4), **outcome}.items():
    low, high = bars.get(name, (0.0, 0.0))
    least, most = interval(std(found[drawn()]))
    cells = [*(f"{value:.1f}" for value in found.mean(0)), f"{gap(found, reference):.1f}"]
    cells[-1] += f" [{low:.1f}, {high:.1f}]" if name in bars else ""
    cells.append(f"{std(found):.2f} [{least:.2f}, {most:.2f}]")
    rows.append(f"| {name} | {' | '.join(cells)} |")
Markdown("\n".join(rows))

# %%
axes, left = notebook_axes(3.8), torch.zeros(len(METHODS))
shares = torch.stack([(found.mean(0) - reference.mean(0)).abs() / 4 for found in outcome.values()]).T
four_styles = method_styles(["FA", "RA", "TA", "MIA"]).items()
for (label, style), share in zip(four_styles, shares, strict=True):
    axes.barh(list(METHODS), share, left=left, color=style.color, label=label, alpha=0.8)
    left = left + share
lengths = (torch.stack(list(bars.values())).T - left).abs()
axes.errorbar(left, range(len(METHODS)), xerr=lengths, fmt="none", color="black", capsize=3)
axes.axvline(again, color="black", linestyle="--", label="retrained, drawn again")
axes.set(xlabel="Gap to the retrained models, points (lower is better)", xlim=(0, None))
axes.set_title("Which of the four numbers makes the Gap (bars: 95 %)", loc="left")
axes.invert_yaxis()
_ = axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.35, -0.16), handlelength=1.2)

# %%
mean = {name: found.mean(0) for name, found in outcome.items()}
for name in ("RL + DualOptim", "SalUn + DualOptim"):
    alone = name.removesuffix(" + DualOptim")
    assert mean[name][0] > 97 and mean[name][1] > 99 and mean[name][2] > mean[alone][2] + 1.5
assert gaps["SFRon"] < min(gaps[name] for name in ("GA", "NGDiff", "RL", "SalUn"))
assert std(outcome["SFRon + DualOptim"]) < std(outcome["SFRon"]) and min(gaps.values()) > again + 1
print("RL and SalUn with DualOptim: FA stays over 97 %, retain and test accuracy are kept")
print("SFRon is nearer than GA, NGDiff, RL and SalUn; with DualOptim its Std is lower")
print("no method is as near to the retrained models as they are to each other")

# %% [markdown]
# What the figure says, and what it does not:
#
# - **A Gap hides what it is made of.** RL and SalUn with DualOptim have a lower Gap than without, at an FA of
#   99 %: by FA nothing is forgotten. They gain in TA and MIA. What is left is FA's part.
# - **The retain side's rate does much of the forgetting.** FT, which never sees the forget set, is among the
#   best, at the highest rate tried; so is SFRon, at the same rate. There the weights are shaken, and
#   relearned on the retain set alone; RA pays for it.
# - **Std.** SFRon's falls with DualOptim, as in the paper. But FT at 1e-2 spreads as much as SFRon, so
#   it may be the rate of 1e-2 that spreads, and not the shared state.
# - **One target is one draw.** These intervals are over unlearning seeds. Run apart with four other targets
#   (each with its own five retrained models, same rates), RL has Gaps of 6.3, 8.6, 5.2, 5.2, RL + DualOptim
#   5.8, 5.9, 5.5, 6.0: the order turned round with two of them. SFRon's Gap was lower *without* DualOptim and
#   its Std lower *with* it each time. Paper 002 has one target, too.
#
# ## The larger comparison, read from what is committed
#
# `experiments/` holds studies by `unlearnkit compare`, of five seeds and 60 rounds each: digits (23 methods, a
# target *and* a retrained model of each seed, seven rates each); 5,000 images of CIFAR-10 with the same small
# network (likewise, five rates); ten classes of TinyImageNet with a small Swin from scratch (one target for all
# seeds, three rates). There the seeds are pairs: two methods share target, reference and forget set. So we may
# ask for the interval of the **difference**: draw seeds, the same for both methods. It is sharper than to look
# whether two intervals overlap. To the left of 0, the variant is better than one Adam on the sum.


# %%
def four_of(rows):
    rows = sorted(rows, key=lambda row: row["seed"])
    values = [[row["summary"][n] for n in NUMBERS] for row in rows]
    return 100 * torch.tensor([[float("nan") if v is None else v for v in row] for row in values]).double()


def changes(results, seeds):
    """Yield label, change of Gap and change of Std that a variant makes, for each drawing of seeds."""
    goal, methods = four_of(rows_of(results, "retrained"))[seeds], methods_of(results)
    for variant, base in stepping_pairs(results):
        own, other = four_of(methods[variant])[seeds], four_of(methods[base])[seeds]
        label = methods[variant][0]["label"].partition(", lr ")[0]
        yield label, gap(own, goal) - gap(other, goal), std(own) - std(other)


# %%
paths = sorted(Path("../experiments").glob("*/results.json"))
studies, changed = {path.parent.name: read_json(path) for path in paths}, {}
for study, results in studies.items():  # also what is added later; NaN where a seed diverged
    n = len(results["protocol"]["seeds"])
    if n >= 5 and set(NUMBERS) <= set(results.get("rows", [{}])[0].get("summary", [])):
        both = zip(changes(results, torch.arange(n)), changes(results, drawn(n=n)), strict=True)
        for (label, *middle), (_, *draws) in both:
            rows = [[m, *interval(d)] for m, d in zip(middle, draws, strict=True)]
            changed[study, label] = torch.tensor(rows)  # Gap and Std: value, low, high
of_gap, of_std = ({n: rows[k] for (name, n), rows in changed.items() if name == "digits"} for k in (0, 1))
assert max(of_gap["SCRUB + DualOptim"][2], of_gap["SCRUB + DualOptim+"][2]) < -1
assert all(-2.5 < of_gap[f"{name} + DualOptim"][0] < -0.5 for name in ("RL", "SalUn"))
assert of_gap["SFRon + DualOptim"][0] > 0 > of_std["SFRon + DualOptim"][2]
print("DualOptim lowers SCRUB's Gap, and RL's and SalUn's in the mean; not SFRon's, but its Std")

# %%
_, panels = plt.subplots(1, 2, figsize=(6, 0.9 + 0.25 * len(changed)), sharey=True)
for k, (ax, title) in enumerate(zip(panels, ("Gap", "Std"), strict=True)):
    middle, low, high = torch.stack([found[k] for found in changed.values()]).T
    bars = torch.stack([middle - low, high - middle])
    ax.errorbar(middle, range(len(middle)), xerr=bars, fmt="o", capsize=2)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xscale("symlog", linthresh=(4, 2)[k], linscale=2)
    ax.set_xticks(ticks := ((-3, 0, 3, 15), (-1, 0, 1, 10))[k], [str(tick) for tick in ticks])
    ax.set(xlabel=f"change of {title}, points\n(left is better)")
panels[0].set_yticks(range(len(changed)), [f"{name}, {study.split('_')[0]}" for study, name in changed])
panels[0].invert_yaxis()
of = {(study, label): found[0] for (study, label), found in changed.items()}  # value, low, high
assert of["tiny_imagenet", "SFRon + DualOptim"][2] < 0 < of["tiny_imagenet", "SalUn + DualOptim"][1]
assert of["cifar10", "SFRon + DualOptim"][1] > 0 and of["cifar10", "SCRUB + DualOptim"][0] > 0
print("elsewhere DualOptim's sign is another: SFRon's Gap falls on TinyImageNet and rises on CIFAR-10")

# %%
kept = {}
for row in matched(read_json("../experiments/digits_class/results.json")).rows:
    if row.reached == row.seeds:
        name, _, rate = row.label.partition(", lr ")
        kept.setdefault(name, {})[float(rate)] = 100 * row.values["retain_accuracy"].mean
axes, styles = notebook_axes(3.2), method_styles(sorted(kept))
for name, points in kept.items():
    rates, values = zip(*sorted(points.items()), strict=True)
    axes.semilogx(rates, values, marker=styles[name].marker, color=styles[name].color, label=name)
axes.set(xlabel="learning rate (log scale)", ylabel="retain accuracy (%, higher is better)")
axes.set_title("Where the class is forgotten (FA at most 2 %)", loc="left")
axes.legend(loc="lower left")
best = {name: max(points.values()) for name, points in kept.items()}
assert min(best.pop("NGDiff"), best.pop("LossNorm")) > 99.5 > 99 > max(best.values())
print("NGDiff and LossNorm keep the retain set where the class is forgotten; GDiff and GA lose part of it")

# %% [markdown]
# **Does DualOptim lower the Gap?** On digits, of SCRUB clearly: by 1.9 points, with each seed. Of RL and SalUn by
# about 1, with four seeds of five; the intervals reach 0, and of five seeds they are too short, so this is not
# settled. Of SFRon not. On the other two sets the answers are others: with the Swin, SFRon's Gap falls by 3
# points and SalUn's rises by 2; on CIFAR-10, SalUn's falls by half a point, SCRUB's hardly moves, and SFRon's
# explodes, because the rate that was best on the search's seed is too high for four of five others. **So the
# order of paper 002 is not a property of the losses alone**: set, network and how rates are chosen decide it
# with them. **Is Std lower?** On digits of SFRon, by .7; of SCRUB perhaps. Twenty comparisons were made, so one
# or two stray by chance. None is at matched FA: few of these methods come down to the retrained model's FA.
#
# **A class is forgotten** (paper 001, appendix C; the last figure, mean of five seeds that all got there):
# NGDiff keeps most, as in the paper, and GDiff less, with little weight on the retain side least. But LossNorm,
# last in the paper's table 4 (RA .753 on CIFAR-10 against NGDiff's .931), is level with NGDiff here. Digits
# without a class are easy.
#
# ## What went wrong, what is not proven
#
# - **Everything here is small**: 8 x 8 pixels, 0.04 to 0.09 million parameters, labels that are wrong on
#   purpose. Without wrong labels there is no signal (first figure); with them, part of what the attacks see
#   is that labels are wrong.
# - **Rates were chosen by the Gap**, on the same forget and test images. A Gap prefers models that forget
#   little, and needs retrained models, which nobody has who needs unlearning.
# - **The attacks are weak.** One number an image, one threshold for all images. A low MIA is no proof.
# - **Slips in paper 002's table (a)**, as its text has them. GA's Std is printed .44; its four deviations
#   give $(.39+.90+.41+.55)/4=.56$. SalUn + DualOptim's is printed .35, and $(.22+.94+.29+.70)/4=.54$, *more*
#   than SalUn's .50 (.94 is also the distance 100 − 99.06, so perhaps it stands in the wrong place); its RA
#   distance is printed .60 for .94. RL's MIA distance is printed 8.43 for $76.26-68.19=8.07$, SFRon +
#   DualOptim's FA distance .02 for .08. Of the three pairs, as printed deviations go, Std falls with
#   DualOptim for SFRon alone (2.33 to .66).
#
# ## Summary
#
# - The ideal is the retrained model's number, each time: FA near the test accuracy (times the share of right
#   labels), 0 for a class; a membership rate far from 0 and from 100 %.
# - Gap takes the absolute value after the mean over seeds. Its floor is not 0. Look at its four parts.
# - A mask on gradients is not hard: decay and old momentum move frozen weights. Batch statistics are moved by
#   no gradient at all.
# - On digits DualOptim lowers SCRUB's Gap; for RL and SalUn it is not settled, for SFRon it does not. NGDiff
#   and LossNorm keep the retain set when a class is forgotten.
#
# ## Exercises
#
# **Exercise 1 (recall).** A method forgets 10 % of CIFAR-10 at random and reports FA 0 %, RA 100 %, TA 94 %,
# and 0 % of the forget set called members. Retrained: 94.6, 100, 94.3, 76.3. What is its Gap, and what would
# you tell the authors?
#
# <details><summary>Answer</summary>(94.6 + 0 + 0.3 + 76.3)/4 = 42.8. The forget set stands out: whoever sees
# FA 0 % knows which images were forgotten. That is memory, not forgetting.</details>
#
# **Exercise 2 (knob).** Set RETAIN_RATE to 3e-4, and separately train the target from `digit_net(300)`. Which
# sentences below the experiment's figure would you have to change?
#
# <details><summary>Answer</summary>Measured: with 3e-4 see the text before the experiment (the rates of the
# forget side would have to be searched again). With other targets RL + DualOptim against RL turns round, see
# above.</details>
#
# **Exercise 3 (code).** Write SFRon's forget loss from the losses of a batch. Weights are constants: no
# gradient flows through them. A loss below `floor` is weighed as if it were `floor`. (The published rule has
# no floor. An image whose loss fp32 rounds to 0 then takes all the weight, and as its own gradient is 0,
# nothing is forgotten.)


# %%
def sfron_loss(losses, power=0.5, floor=1e-4):
    """Return -sum(c l) / sum(c), c = 1 / l^power; losses: [batch]."""
    ### BEGIN SOLUTION
    c = 1 / losses.detach().clamp_min(floor) ** power
    return -(c * losses).sum() / c.sum()
    ### END SOLUTION


host, x = PlainHost(model, forget=AdaptiveAscent(), retain=None, optimizer=None), torch.tensor([0.0, 1.0])
slope_of = lambda loss, floor: torch.func.grad(partial(loss, floor=floor))(x)[1]  # noqa: E731
check(
    sfron_loss,
    Case((model.losses(f),), host.loss("forget", pairs.batch(0)), "Divide by the sum of c; c = 1 / sqrt(l)."),
    Holds(lambda loss: abs(slope_of(loss, 1e-4) + 1 / 101) < 1e-5, "c is 100 and 1: use losses.detach()."),
    Holds(lambda loss: abs(slope_of(loss, 1e-30)) < 1e-12, "With no floor nothing pulls the second image."),
)

# %% [markdown]
# **Exercise 4 (open).** You have the target, the data, and no retrained model. Which of FA, RA, TA and MIA
# could you still give an ideal value, from which of (1), (2) or the attack's figure? Design a rule that stops
# a method at the right round, and try it on RL.
#
# ## References
#
# - Paper 002: C. Liu, *On the Stability of Multi-Objective Optimization in Machine Unlearning* (slides,
#   2026), and the DualOptim paper it presents. Paper 001: NGDiff, appendix C.
# - SalUn: Fan et al., 2024. SFRon: Huang et al., 2024. SCRUB: Kurmanji et al., 2023. RL: Golatkar et al., 2020.
# - Ioffe and Szegedy, *Batch normalization*, 2015. Efron, *Bootstrap methods: another look at the jackknife*,
#   1979.
