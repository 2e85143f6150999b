# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03  Why add two gradients at unit length?
#
# > **Time** 50 minutes to read, about a minute to run. **Hardware** a laptop's CPU. **Needs** tutorial 02, the
# > Cauchy-Schwarz inequality, Taylor's formula.
# >
# > **Afterwards you can** derive NGDiff and its guarantee, write it in four lines, say which three known
# > methods are the same direction, what Adam does to the guarantee, and read a comparison at matched
# > forgetting.
# >
# > **Paper** 001, *Unlearning as multi-task optimization* (NGDiff), sections 3.1, 3.2, appendices A and F,
# > Tables 1 and 3.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.patches import Wedge
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import unlearnkit
from unlearnkit import NLL, AscentNLL, FixedWeights, GradNorm, NGDiff, PCGrad, PlainHost
from unlearnkit.gradients import Gram, Weights, gram_matrix
from unlearnkit.plots import method_styles, notebook_axes
from unlearnkit.testing.exercise import Case, Holds, check
from unlearnkit.testing.lesson import authors, fresh, learned, recall

# %% [markdown]
# ## 1. The picture: two gradients of a real model
#
# The model is a language model of 0.1 million parameters that knows twenty fictitious authors by heart: 100
# questions with answers. Two authors are to be forgotten (10 questions, the set F), eighteen kept (90
# questions, the set R). As in tutorial 02, $\mathbf{g}_R$ and $\mathbf{g}_F$ are the gradients of the losses
# $L_R$ and $L_F$; unlearning lowers $L_R$ and raises $L_F$.
#
# Any two vectors span a plane, so the paper's Figure 3 can be drawn from real gradients: at the target, and
# after ten rounds of unlearning. All arrows have unit length; the titles say how long the real ones are.

# %%
target = learned(authors("full"), notebook)


def start(optimizer, seed=0):
    """A fresh copy of the target in a host, and the batches to unlearn with."""
    model, pair = fresh(target), authors("pair")
    pair.seed = seed
    pair.setup("fit")
    optimizer = optimizer(model.parameters())
    return PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer), pair


def gradients(host, batch):
    """The paper's g_R and g_F as vectors; the host's forget objective is -L_F, hence the minus."""
    g_R, g_F = (parameters_to_vector(host.gradients(side, batch)[1]) for side in ("retain", "forget"))
    return g_R.double(), -g_F.double()


# %%
def plane(ax, g_R, g_F):
    middle, R = 0.5 * g_R - 0.5 * g_F, g_R / g_R.norm()
    angle, below = (np.degrees(np.arccos((R @ g / g.norm()).item())) for g in (g_F, middle))
    areas = {
        "reached by some c": (1.15, angle - 180, 0, "#F0E442"),
        "eq. (5) holds": (0.8, -90, angle - 90, "#009E73"),
    }
    for name, (radius, low, high, color) in areas.items():
        ax.add_patch(Wedge((0, 0), radius, low, high, color=color, alpha=0.35, label=name))
    arrows = {"g_R": 0, "g_F": angle, "NGDiff": angle / 2 - 90, "GDiff, c = 0.5": -below}
    for (name, turn), color in zip(arrows.items(), ("#D55E00", "#0072B2", "black", "#AA3377"), strict=True):
        tip = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        ax.annotate("", tip, (0, 0), arrowprops={"color": color, "arrowstyle": "-|>", "lw": 2})
        ax.plot([], [], color=color, label=name)
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])


# %% tags=["nbval-ignore-output"]
host, pair = start(lambda p: torch.optim.AdamW(p, lr=1e-3))
states = {"at the target": gradients(host, pair.batch(0))}
for round_ in range(10):
    NGDiff().step(host, pair.batch(round_))
states["after 10 rounds"] = gradients(host, pair.batch(10))
figure, panels = plt.subplots(1, 2, figsize=(6, 3.7))
for panel, (name, (g_R, g_F)) in zip(panels, states.items(), strict=True):
    plane(panel, g_R, g_F)
    panel.set_title(f"{name}: |g_F| = {g_F.norm() / g_R.norm():.1f} |g_R|")
_ = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %% [markdown]
# Yellow is every direction $c\,\mathbf{g}_R - (1-c)\,\mathbf{g}_F$ with $0 \le c \le 1$. Green is where a small
# step $-\eta\,\mathbf{g}$ improves both losses:
#
# $$\mathbf{g}_R^\top \mathbf{g}_{UN} \ge 0 \ge \mathbf{g}_F^\top \mathbf{g}_{UN} \tag{5}$$
#
# After ten rounds $\mathbf{g}_F$ is much longer than $\mathbf{g}_R$, so GDiff with $c = 0.5$ points almost
# along $-\mathbf{g}_F$ and leaves the green area. NGDiff is the bisector of both areas, whatever the lengths
# are.
#
# ## 2. NGDiff and Lemma 4
#
# One step $\theta_{t+1} = \theta_t - \eta\, \mathbf{g}_{UN}$ changes the losses, by Taylor, by
#
# $$L_R(\theta_{t+1}) - L_R(\theta_t) = -\eta\, \mathbf{g}_R^\top \mathbf{g}_{UN}
# + \tfrac{\eta^2}{2}\, \mathbf{g}_{UN}^\top \mathbf{H}_R\, \mathbf{g}_{UN} + o(\eta^2) \tag{4}$$
#
# and the same with F ($\mathbf{H}$ is the matrix of second derivatives). To first order (5) is what one wants.
# The paper sets
#
# $$c_t = \frac{1/\|\mathbf{g}_R\|}{1/\|\mathbf{g}_R\| + 1/\|\mathbf{g}_F\|} \quad\Longrightarrow\quad
# \mathbf{g}_{NGDiff} = \frac{\mathbf{g}_R}{\|\mathbf{g}_R\|} - \frac{\mathbf{g}_F}{\|\mathbf{g}_F\|}$$
#
# **Lemma 4.** $\mathbf{g}_{NGDiff}$ satisfies (5) for any two gradients. *Proof* (Cauchy-Schwarz):
#
# $$\mathbf{g}_R^\top \mathbf{g}_{NGDiff} = \|\mathbf{g}_R\|
# - \mathbf{g}_R^\top \mathbf{g}_F / \|\mathbf{g}_F\| \ge \|\mathbf{g}_R\| - \|\mathbf{g}_R\| = 0$$
#
# and likewise for F. $\square$
#
# The whole method from scratch is one line. The library's `NGDiff` never makes these vectors: it computes three
# inner products in one pass and combines the two gradients in place. One round with plain SGD at rate 1 moves
# the real model by its direction:


# %%
def ngdiff(g_R, g_F):
    return g_R / g_R.norm() - g_F / g_F.norm()


host, pair = start(lambda p: torch.optim.SGD(p, lr=1.0))
before = parameters_to_vector(host.parameters).detach().double()
for round_ in range(3):
    mine = ngdiff(*gradients(host, pair.batch(round_)))
    report = NGDiff().step(host, pair.batch(round_))
    after = parameters_to_vector(host.parameters).detach().double()
    theirs, before = before - after, after
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=2e-6)
    torch.testing.assert_close(mine.norm(), theirs.norm(), rtol=1e-4, atol=0)
    torch.testing.assert_close(mine.norm(), report.gram.norm(report.weights), rtol=1e-4, atol=0)
print("the library's NGDiff moves the model by my direction, in direction and in length, for 3 rounds")

# %% [markdown]
# **Over random gradients.** 100 000 pairs of vectors with 6 components, $g_f$ scaled by up to a hundred either
# way. Every rule below sees only the inner products of $g_r = \mathbf{g}_R$ and $g_f = -\mathbf{g}_F$ (its
# `Gram` matrix), so it can be asked about all pairs at once.

# %%
generator = torch.Generator().manual_seed(0)
g_r, g_f = torch.randn(2, 100_000, 6, generator=generator, dtype=torch.float64)
g_f = g_f * 10 ** (4 * torch.rand(100_000, 1, generator=generator) - 2)
gram = Gram((g_r**2).sum(-1), (g_f**2).sum(-1), (g_r * g_f).sum(-1))
names = ["NGDiff", "IMTLG", "NashMTL", "ConFIG", "MGDA", "PCGrad", "AlignedMTL"]
rules = {name: getattr(unlearnkit, name)() for name in names} | {"PCGrad, item 6": PCGrad(symmetric=False)}
chosen = {name: rule.weights(gram, {}) for name, rule in rules.items()}
chosen |= {f"GDiff {c}": Weights(torch.tensor(c), torch.tensor(1 - c)) for c in (0.9, 0.5, 0.1)}
against = {}
for name, w in chosen.items():
    falls = (gram.retain_effect(w) / gram.rr.sqrt(), gram.forget_effect(w) / gram.ff.sqrt())
    against[name] = [(fall < -1e-9 * gram.norm(w)).double().mean().item() for fall in falls]

# %% tags=["nbval-ignore-output"]
rows = ["| rule | raises $L_R$ | lowers $L_F$ |", "| :-- | --: | --: |"]
Markdown("\n".join([*rows, *(f"| {name} | {R:.1%} | {F:.1%} |" for name, (R, F) in against.items())]))

# %%
assert all(against[name] == [0.0, 0.0] for name in ["NGDiff", "IMTLG", "NashMTL", "ConFIG", "MGDA", "PCGrad"])
assert all(sum(against[f"GDiff {c}"]) > 0.1 for c in (0.9, 0.5, 0.1))
assert against["PCGrad, item 6"][1] > 0.1 and 0 < sum(against["AlignedMTL"]) < 0.1
print(
    "NGDiff never raises L_R or lowers L_F to first order; each GDiff does, for more than a tenth of the pairs"
)
print("NGDiff is not alone: MGDA and PCGrad with both sides projected never do either")

# %% [markdown]
# ## 3. Theorem 5: how far one may go
#
# **Theorem 5.** (1) Unless $\mathbf{g}_R$ is exactly parallel to $\mathbf{g}_F$, a small enough step of NGDiff
# lowers $L_R$ and raises $L_F$, up to $o(\eta)$. (2) If the curvatures
# $\mathbf{g}_{NGDiff}^\top \mathbf{H}\, \mathbf{g}_{NGDiff}$ are positive for both losses, then so for every
#
# $$0 < \eta < \eta_{\max}
# = \frac{2\, \mathbf{g}_R^\top \mathbf{g}_{NGDiff}}
# {\mathbf{g}_{NGDiff}^\top \mathbf{H}_R\, \mathbf{g}_{NGDiff}} \quad\text{up to } o(\eta^2).$$
#
# *Proof.* Part (1) is (4) with Lemma 4, strict unless Cauchy-Schwarz is an equality. Part (2): the parabola in
# (4) for R is below zero exactly between its two zeros, $0$ and $\eta_{\max}$; the one for F has two positive
# terms. $\square$
#
# "Up to $o(\eta^2)$" hides the question that matters: is the parabola true as far out as $\eta_{\max}$? We
# measure. The curvature comes from two gradients,
# $\mathbf{H} d \approx (\mathbf{g}(\theta + \epsilon d) - \mathbf{g}(\theta - \epsilon d)) / 2\epsilon$. We
# walk with SGD and look at every fourth round, on three orders of the data.


# %%
def along(host, d, etas, look):
    """What `look` finds at theta - eta d for each eta; the model is put back."""
    theta, found = parameters_to_vector(host.parameters).detach(), []
    for eta in etas:
        vector_to_parameters(theta - eta * d.float(), host.parameters)
        found.append(look())
    vector_to_parameters(theta, host.parameters)
    return found


@torch.no_grad()
def both_losses(host, batch):
    return host.loss("retain", batch).item(), -host.loss("forget", batch).item()


# %%
looks, STEPS = [], np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3, 1.6, 1.9, 2.0])
for seed in (0, 1, 2):
    host, pair = start(lambda p: torch.optim.SGD(p, lr=0.05), seed)
    for round_, batch in enumerate(map(pair.batch, range(12))):
        if round_ % 4 == 3:
            g_R, g_F = gradients(host, batch)
            d = ngdiff(g_R, g_F)
            ends = along(host, d, (-1e-3, 1e-3), lambda b=batch, h=host: gradients(h, b))
            h = [(d @ (up - down)).item() / 2e-3 for up, down in zip(*ends, strict=True)]
            slopes, top = [(g_R @ d).item(), (g_F @ d).item()], 2 * (g_R @ d).item() / h[0]
            change = along(host, d, [0, 1e-3, *(top * STEPS)], lambda b=batch, h=host: both_losses(h, b))
            looks.append(
                {"slopes": slopes, "h": h, "eta_max": top, "change": np.array(change[1:]) - change[0]}
            )
        NGDiff().step(host, batch)

# %% tags=["nbval-ignore-output"]
figure, panels = plt.subplots(1, 2, figsize=(6, 3.8))
look, n, low = looks[2], len(looks), looks[2]["change"][:, 0].min()
etas = look["eta_max"] * STEPS
for side, panel in enumerate(panels):
    line = -etas * look["slopes"][side]
    panel.plot(etas, look["change"][1:, side], "o", ms=5, color="black", label="measured")
    panel.plot(etas, line, ":", color="#0072B2", label="first order")
    panel.plot(etas, line + etas**2 / 2 * look["h"][side], "-", color="#D55E00", label="parabola (4)")
    panel.axvline(look["eta_max"], color="grey", linestyle="--", label="η_max")
    panel.set_xlabel("step η along −NGDiff")
panels[0].set(ylim=(3 * low, -4 * low), ylabel="change of the retain loss (↓ better)")
panels[0].set_title(f"below its start at η_max: {sum(k['change'][6, 0] < 0 for k in looks)} of {n}")
panels[1].set_title(f"h_F above 0: {sum(k['h'][1] > 0 for k in looks)} of {n}")
panels[1].set_ylabel("change of the forget loss (↑ better)")
_ = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)

# %%
small = np.array([look["change"][0] for look in looks])
first = np.array([-1e-3 * np.array(look["slopes"]) for look in looks])
assert (small[:, 0] < 0).all() and (small[:, 1] > 0).all() and (np.abs(small / first - 1) < 0.25).all()
convex = [look["change"][1:] for look in looks if look["h"][0] > 0]
assert len(convex) >= len(looks) - 2
assert all(change[:2, 0].max() < 0 < change[:, 1].min() for change in convex)
print("in every look a step of 0.001 lowers L_R and raises L_F, to within a quarter of the first order")
print(
    "where the curvature of L_R is above 0, so do 0.1 and 0.3 of eta_max, and L_F rises as far as 2 eta_max"
)

# %% [markdown]
# So the theorem's picture is right near the start, and three of its words are loose. (a) The conditions of part
# (2): the curvature of $L_F$ ($h_F$ in the figure's title) was negative in some looks. On one of four other
# targets that we tried, that of $L_R$ was too, once (measured apart, not in this notebook; the paper's Remark
# 3.1 foresees it). (b) $\eta_{\max}$ is the parabola's zero and not the loss's. At that step $L_R$ lies below
# its start in all looks shown; on another target (measured apart) it lay above it already at $0.7\,
# \eta_{\max}$. (c) "Constants $\epsilon = o(\eta^2)$" are functions of $\eta$: for a fixed step they promise
# nothing.
#
# ## 4. One direction, four names
#
# The paper's item 7, IMTL-G, asks for a sum whose projections on both unit gradients are equal. Put $u_R, u_F$
# for the unit vectors, $\rho = u_R^\top u_F$. Then its $c_t$ is
#
# $$c_t = \frac{\mathbf{g}_F^\top (u_F - u_R)}{(\mathbf{g}_F - \mathbf{g}_R)^\top (u_F - u_R)}
# = \frac{\|\mathbf{g}_F\| (1 - \rho)}{\|\mathbf{g}_F\| (1 - \rho) + \|\mathbf{g}_R\| (1 - \rho)}
# = \frac{\|\mathbf{g}_F\|}{\|\mathbf{g}_F\| + \|\mathbf{g}_R\|},$$
#
# which is NGDiff's $c_t$: the angle cancels. Nash-MTL solves $G w = 1/w$ for the Gram matrix $G$ of the two
# rows; $w = k\,(1/\|\mathbf{g}_R\|, 1/\|\mathbf{g}_F\|)$ does, with $k^2 = 1/(1 + \cos)$. ConFIG asks for equal
# cosines with both, and in the plane that is the bisector again. For **two** tasks these four methods are one
# direction with four lengths. The paper does not say so (derivation ours); for three tasks they differ. With
# $a = \|\mathbf{g}_R\|$, $b = \|\mathbf{g}_F\|$ and $\cos = -\rho$, the cosine of the two descended rows:
#
# | method | weights of $(\mathbf{g}_R, -\mathbf{g}_F)$ | length |
# | :-- | :-- | :-- |
# | NGDiff | $(1/a,\ 1/b)$ | $\sqrt{2(1 + \cos)}$ |
# | IMTL-G | $(b,\ a)/(a + b)$ | $\frac{ab}{a+b} \sqrt{2(1 + \cos)}$ |
# | Nash-MTL | $(1/a,\ 1/b)/\sqrt{1 + \cos}$ | $\sqrt 2$ |
# | ConFIG | $(1/a,\ 1/b)\,(a + b)/2$ | $(a + b) \sqrt{(1 + \cos)/2}$ |

# %%
host, pair = start(lambda p: torch.optim.AdamW(p, lr=1e-3))
family, lengths = {name: getattr(unlearnkit, name)() for name in ("NGDiff", "IMTLG", "NashMTL", "ConFIG")}, []
for round_ in range(20):
    g_R, g_F = gradients(host, pair.batch(round_))
    gram, a, b = gram_matrix([g_R], [-g_F]), g_R.norm(), g_F.norm()
    weights = {name: rule.weights(gram, {}) for name, rule in family.items()}
    d = {name: w.retain * g_R - w.forget * g_F for name, w in weights.items()}
    for vector in d.values():
        torch.testing.assert_close(vector / vector.norm(), d["NGDiff"] / d["NGDiff"].norm())
    root = (2 * (1 + gram.cosine)).sqrt()
    formulas = torch.stack([root, a * b / (a + b) * root, torch.tensor(2.0).sqrt(), (a + b) / 2 * root])
    lengths.append(torch.stack([vector.norm() for vector in d.values()]))
    torch.testing.assert_close(lengths[-1], formulas)
    NGDiff().step(host, pair.batch(round_))
print("20 rounds of a real model: four methods, one direction, and the four lengths of the table")

# %% tags=["nbval-ignore-output"]
axes = notebook_axes(3.2)
for (name, style), line in zip(method_styles(family).items(), torch.stack(lengths).T, strict=True):
    axes.plot(line, style.line, marker=style.marker, color=style.color, markersize=5, mec="white", label=name)
axes.set(xlabel="round", ylabel="length of the direction", yscale="log", xticks=range(0, 20, 5))
_ = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

# %% [markdown]
# None of the lengths is better by itself: they are four learning-rate schedules. With SGD at a fixed rate they
# differ by the factors in the figure; Adam divides a constant factor out, so only its changes over time are
# felt; GeN (tutorial 04), which fits the rate to the direction, makes up for any.
#
# ## 5. What Adam does to Lemma 4
#
# Lemma 4 is about the direction. The paper's experiments hand it to Adam (appendix E), which rescales each
# coordinate and mixes in old directions. The step is then no longer in the plane of the two gradients. Is
# $\mathbf{g}_R^\top (\theta_{t+1} - \theta_t) \le 0 \le \mathbf{g}_F^\top (\theta_{t+1} - \theta_t)$ still
# true? We count rounds in which it is not, for optimizers that take Adam apart: momentum alone, rescaling
# alone, both.

# %%
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05),
    "SGD, momentum 0.9": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "Adam, no momentum": lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.0, 0.999)),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-3),
}


def steps_against(optimizer, seed, rounds=30):
    (host, pair), seen, count = start(optimizer, seed), {}, np.zeros(2, int)
    host.observe = lambda found: seen.update({side: parameters_to_vector(found[side]) for side in found})
    for round_ in range(rounds):
        before = parameters_to_vector(host.parameters).detach()
        NGDiff().step(host, pair.batch(round_))
        move = parameters_to_vector(host.parameters).detach() - before
        count += [(seen[side].double() @ move.double()).item() > 0 for side in ("retain", "forget")]
    return count


# %%
wrong = {n: np.array([steps_against(o, seed) for seed in (0, 1, 2)]) for n, o in OPTIMIZERS.items()}
totals = {name: counts.sum(0) for name, counts in wrong.items()}
assert (totals["SGD"] == 0).all()
assert totals["SGD, momentum 0.9"][0] >= 5 and totals["Adam"][0] > 0
assert totals["Adam, no momentum"][0] < totals["SGD, momentum 0.9"][0]
print("SGD: no step against Lemma 4. With momentum, and with Adam, some steps raise L_R to first order;")
print("here it is the memory of old directions that does it, more than the rescaling")

g_R, g_F = torch.tensor([2.0, -1.0, -1.0, -1.0]), torch.tensor([0.626, -0.45, -0.45, -0.45])
d = ngdiff(g_R, g_F)
assert g_R @ d > 0 > g_F @ d  # Lemma 4
assert g_R @ d.sign() < 0  # Adam's first step is the sign of the direction: it raises L_R
print("four numbers suffice: a pair of gradients for which Adam's first step raises L_R")

# %% tags=["nbval-ignore-output"]
rows = ["| optimizer | rounds of 30 that raise $L_R$ | that lower $L_F$ |", "| :-- | --: | --: |"]
for name, counts in wrong.items():
    rows.append(f"| {name} | {', '.join(map(str, counts[:, 0]))} | {', '.join(map(str, counts[:, 1]))} |")
Markdown("\n".join([*rows, "", "To first order; one number a seed."]))

# %% [markdown]
# Rescaling *can* break the lemma (the four numbers), but here it alone did so in no round of the table; with
# the running mean of old directions it happened, and with momentum alone most often. Lemma 4 holds of what
# enters the optimizer, not of what leaves it. The effect is small here; no guarantee covers it.
#
# ## 6. Against GradNorm (appendix A)
#
# GradNorm *learns* weights $w_R, w_F$ that bring the lengths $w_i \|\mathbf{g}_i\|$, measured on one layer, to
# a target. With $\tilde L_i = L_i / L_i(0)$ and $r_i = \tilde L_i / \mathrm{mean}(\tilde L)$, the original
# (Chen et al. 2018) minimises by descent on $w$
#
# $$L_{GN} = \sum_i \big|\, w_i \|\mathbf{g}_i\| - \bar G\, r_i^\alpha \big|,
# \qquad \bar G = \mathrm{mean}_i\, w_i \|\mathbf{g}_i\| \text{ held constant.}$$
#
# Paper 001's Algorithm 3 prints other lines. Line 10 has the vector norm
# $\|\mathbf{g}_i - \bar{\mathbf{g}}\, r_i^\alpha\|_1$ with the mean *vector* $\bar{\mathbf{g}}$, in which no
# $w$ occurs: its gradient with respect to $w$ (line 11) is zero. Line 8 adds $+ w_F L_F$, which would *descend*
# on the forget loss. Here are the original's formula and the ascent's sign, from scratch, with three backward
# passes as the paper counts them. For the ascended side the ratio is turned over: $L_F$ grows as forgetting
# succeeds.


# %%
def gradnorm_round(host, batch, layer, w, first, alpha=1.5, lr=0.025, eta=0.05):
    """One round of Algorithm 3, mended: two passes for the layer's lengths, a third for the step."""
    watched = [p for name, p in zip(host.names, host.parameters, strict=True) if layer in name]
    L = torch.stack([host.loss("retain", batch), -host.loss("forget", batch)])
    layers = [torch.autograd.grad(loss, watched, retain_graph=True) for loss in L]
    length = torch.stack([torch.cat([g.flatten() for g in gs]).norm() for gs in layers]).double()
    first = L.detach().double() if first is None else first
    ratio = L.detach().double() / first
    ratio[1] = 1 / ratio[1]
    target = (w * length).mean() * (ratio / ratio.mean()) ** alpha
    step = torch.autograd.grad(w[0] * L[0] - w[1] * L[1], host.parameters)
    for p, g in zip(host.parameters, step, strict=True):
        p.data -= eta * g
    w = (w - lr * (w * length - target).sign() * length).clamp_min(1e-3)
    return 2 * w / w.sum(), first


# %%
LAYER = "mlp.down_proj"  # the last layer below the output
(mine, pair), (theirs, _) = (
    start(lambda p: torch.optim.SGD(p, lr=0.05)),
    start(lambda p: torch.optim.SGD(p, lr=0.05)),
)
rule, w, first = GradNorm(alpha=1.5, lr=0.025, layer=LAYER.replace(".", r"\.")), torch.ones(2).double(), None
for round_ in range(8):
    w, first = gradnorm_round(mine, pair.batch(round_), LAYER, w, first)
    rule.step(theirs, pair.batch(round_))
    torch.testing.assert_close(rule.factors, w, rtol=1e-3, atol=1e-4)
torch.testing.assert_close(
    *(parameters_to_vector(h.parameters) for h in (mine, theirs)), rtol=1e-3, atol=1e-4
)
print("the library's GradNorm learns my weights over 8 rounds")

# %% [markdown]
# **What does GradNorm aim at?** Take $\alpha = 0$ and gradients that stay as they are. The target is then equal
# lengths, $w_R \|\mathbf{g}_R\| = w_F \|\mathbf{g}_F\|$, and $d = w_R \mathbf{g}_R - w_F \mathbf{g}_F$ is
# NGDiff up to a factor. NGDiff is GradNorm's fixed point, reached in the first round and followed without
# delay. Two more differences: the third backward pass, and the two numbers $\alpha$ and `lr` that somebody has
# to choose.

# %%
rule, g_R, g_F = GradNorm(alpha=0.0, lr=0.002), *(side.clone() for side in states["after 10 rounds"])
gram, losses = gram_matrix([g_R], [-g_F]), {"retain": torch.tensor(1.0), "forget": torch.tensor(-1.0)}
for _ in range(2000):
    rule.learn(gram, losses)
ratio, wanted = (rule.factors[0] / rule.factors[1]).item(), (g_F.norm() / g_R.norm()).item()
assert abs(ratio / wanted - 1) < 0.1
print("with alpha = 0 and gradients at rest GradNorm's weights end at NGDiff's, to within a tenth")


# %% tags=["nbval-ignore-output"]
def trial(step, rounds=12):
    """CPU seconds of some rounds from the target."""
    host, pair = start(lambda p: torch.optim.SGD(p, lr=0.05))
    batches, begun = [pair.batch(round_) for round_ in range(rounds)], time.process_time()
    _ = [step(host, batch) for batch in batches]
    return time.process_time() - begun


base, ones = trial(NGDiff().step), torch.ones(2).double()
cost = trial(lambda host, batch: gradnorm_round(host, batch, LAYER, ones, None)) / base
rows = ["| | cost / NGDiff | w_F / w_R |", "| :-- | --: | --: |", f"| from scratch | {cost:.2f} | |"]
for alpha, lr, layer in ((0.0, 0.025, "down"), (1.5, 0.025, "down"), (1.5, 0.5, "down"), (1.5, 0.5, None)):
    rule = GradNorm(alpha=alpha, lr=lr, layer=layer)
    cost, w = trial(rule.step) / base, rule.factors
    assert lr > 0.1 or (w[1] / w[0]).log().abs() < 0.2  # at 0.025 they have hardly moved
    rows.append(f"| α = {alpha}, lr {lr}, {layer or 'all'} | {cost:.2f} | {w[1] / w[0]:.3f} |")
Markdown("\n".join(rows))

# %% [markdown]
# Twelve rounds from the target. From scratch there are three backward passes; the first column says what the
# third costs. The library's `GradNorm` needs none. $\alpha$ = 0 and
# 1.5 often give the same weights: with two sides one weighted length lies above its target and one below, and
# only that *sign* (times the length) enters the step. What matters is `lr`: at 0.025 the weights have hardly
# left 1 after 12 rounds, so that GradNorm is GDiff with $c = 0.5$ under another name. (In tutorial 02 the same
# `lr` carried GradNorm to $c$ of about 0.9: a step of $w$ is `lr` times a gradient's length, and the lengths
# are others there.)
#
# ## 7. Table 1 in small, at matched forgetting
#
# A table of last iterates compares methods that have forgotten differently much: who forgets less keeps more.
# So each method runs until the model's answers about the forgotten authors have fallen to a ROUGE-L of 0.31
# (the share of the true answer that is found in order in the model's), which is what a model scores that was
# retrained without them. Then we look at what is kept. Same AdamW, rate 1e-3, at most 30 rounds; three orders
# of the retain batches.

# %%
LEVEL, ROUNDS, SEEDS = 0.31, 30, (0, 1, 2)
METHODS = {
    "NGDiff": NGDiff,
    **{f"GDiff {c}": (lambda c=c: FixedWeights(c)) for c in (0.9, 0.5, 0.1)},
    "NPO": unlearnkit.ForgetOnly,
    "LossNorm": unlearnkit.LossNorm,
    "IMTL-G": unlearnkit.IMTLG,
    "PCGrad": PCGrad,
    "GradNorm": lambda: GradNorm(alpha=1.5, layer="down_proj"),
}
forgetting = unlearnkit.TOFUEvaluator(truth_ratio=False, sets=["forget"])


# %%
def until_forgotten(name, seed):
    """Rounds, forget ROUGE, retain ROUGE and retain loss (all 90 pairs) where the level is reached."""
    host, pair = start(lambda p: torch.optim.AdamW(p, lr=1e-3), seed)
    if name == "NPO":
        host.objectives["forget"], host.reference = unlearnkit.NPO(beta=0.1), lambda: frozen
    rule, rouge = METHODS[name](), 1.0
    while rouge > LEVEL and host.round < ROUNDS:
        rule.step(host, pair.batch(host.round))
        if host.round >= 8:  # none is there earlier
            rouge = forgetting.evaluate(host.model, pair)["summary"]["forget_rouge"]
    with torch.no_grad():
        kept = host.loss("retain", {"retain": pair.collate(pair.samples("retain"))}).item()
    return host.round, rouge, recall(host.model, pair)["retain_rouge"], kept


frozen = fresh(target).eval()
table = {name: np.array([until_forgotten(name, seed) for seed in SEEDS]) for name in METHODS}

# %% tags=["nbval-ignore-output"]
reached = {name: int((rows[:, 1] <= LEVEL).sum()) for name, rows in table.items()}
order = sorted(METHODS, key=lambda name: table[name][:, 3].mean())
head = ["method", "reached", "rounds", "forget ROUGE", "retain ROUGE ↑", "retain loss ↓"]
rows = [f"| {' | '.join(head)} |", "| :--" + " | --:" * 5 + " |"]
for name in order:
    spread = [f"{v.mean():.2f} [{v.min():.2f}, {v.max():.2f}]" for v in table[name].T[1:]]
    rows.append(f"| {name} | {reached[name]} of 3 | {table[name][:, 0].mean():.0f} | {' | '.join(spread)} |")
Markdown("\n".join([*rows, "", "Means over three seeds, in brackets the smallest and the largest."]))

# %% tags=["nbval-ignore-output"]
axes = notebook_axes(3.4)
for place, name in enumerate(reversed(order)):
    color = "#0072B2" if name == "NGDiff" else "#555555"
    axes.plot(table[name][:, 3], [place] * 3, "-o", color=color, markersize=6, mec="white")
axes.set_yticks(range(len(order)), [f"{n}{'' if reached[n] == 3 else ' *'}" for n in reversed(order)])
axes.set(xscale="log", xlabel="retain loss where forgetting is matched (← lower is better)")
_ = axes.set_title("three seeds each; * did not reach the level on every seed", loc="left")

# %%
means = {name: rows.mean(0) for name, rows in table.items()}
assert reached["NGDiff"] == 3 and means["NGDiff"][2] > 0.9
for name in ("GDiff 0.5", "GDiff 0.1", "NPO"):
    assert means["NGDiff"][2] > means[name][2] and means["NGDiff"][3] < means[name][3] / 2
near = [name for name in ("GDiff 0.9", "IMTL-G", "LossNorm") if means[name][2] > means["NGDiff"][2] - 0.05]
assert len(near) >= 2
print("at matched forgetting NGDiff loses less than half of what GDiff 0.5, GDiff 0.1 and NPO lose in L_R;")
print("it is not alone: at least two of GDiff 0.9, IMTL-G and LossNorm keep as much")

# %% [markdown]
# The order that appears here: LossNorm keeps most, but one of its seeds does not get down to the level in 30
# rounds; then IMTL-G, NGDiff and GDiff 0.9, which cannot be told apart; then PCGrad and NPO; then GradNorm
# (whose weights have hardly moved) with GDiff 0.5; GDiff 0.1 last. NPO has no retain term, so its three seeds
# are one run. Rounds are whole, so the match is one-sided: steep methods overshoot the level (GDiff 0.1 stands
# at 0.16), and part of what they lose is that. LossNorm stands at 0.34, short of it. Lab L5 interpolates
# instead. The paper's Table 1 has NGDiff alone at the top for most models. What agrees: with $c \le 0.5$, or
# with no retain loss at all, much is lost. What does not show: an advantage of NGDiff over a well-chosen static
# weight. What NGDiff spares is the choice: 0.9 is good and 0.5 is bad, and one does not know that before.
#
# ## 8. What went wrong, what is not proven
#
# - **Mixed row.** In Table 1 the row of NGDiff on Phi-1.5 reads Verbmem .024, Utility .747, TruthRatio .353.
#   Table 3 gives for NGDiff .024 / .607 / .289 *without* the automatic learning rate and .012 / .747 / .353
#   *with* it. So Verbmem is from one run and the other two from another. And all other methods stand in Table 1
#   with their values *without* it (Table 3: GDiff 0.9 .805 / .992 / .205, and so on).
# - **Bold is not best.** Every NGDiff entry is bold. Falcon-1B: LossNorm's Utility is .521, NGDiff's .428.
#   Llama2-7B: TruthRatio of GDiff 0.5 .364, of GDiff 0.9 .340, NGDiff .334. MUSE (Table 6): NGDiff's Utility is
#   .001 (Phi) and .025 (Falcon), GDiff 0.9's .277 and .214, against the text's "preserving model utility".
# - **Names.** Table 6's caption names TruthRatio, its rows Knowmem. TruthRatio has no formula in the paper.
# - **Item 6** (PCGrad) is one-sided and lacks $\max(0, \cdot)$; the table in section 2 shows what that does.
# - **Algorithm 3** (GradNorm): no $w$ in line 10, the wrong sign in line 8; "3 backward passes" are not needed
#   where both gradients are at hand.
# - **Lemma 4 is not about Adam**, which the experiments use (section 5), and MGDA and PCGrad have the same
#   property (section 2): "other methods do not explicitly enforce (5)" is not true of all.
# - **Nothing ends the ascent.** $\mathbf{g}_F$ has weight $1/\|\mathbf{g}_F\|$ however far forgetting is, and
#   $\|\mathbf{g}_{NGDiff}\|$ does not shrink as $L_R$ gets small. One has to stop.
# - **Our table**: one small target, 10 forget pairs, retain ROUGE from ten pairs (retain loss from all 90), one
#   learning rate for all, three orders of the batches. On four other targets the claims that section 7 asserts
#   held too, and at a rate of 3e-3 (tried once) the seeds of NGDiff, GDiff 0.9, LossNorm and PCGrad overlapped
#   (both measured apart, not in this notebook).
#
# ## Summary
#
# - NGDiff adds the descended gradients at unit length; Cauchy-Schwarz gives Lemma 4: to first order no step
#   raises $L_R$ or lowers $L_F$.
# - For two tasks it is the direction of IMTL-G, Nash-MTL and ConFIG; only the lengths differ. It is also
#   GradNorm's fixed point at $\alpha = 0$.
# - The guarantee is about the direction and small steps. Momentum, and with it Adam, breaks it in some rounds.
# - At matched forgetting it is among the best here and not the best alone; it spares the choice of $c$.
#
# ## Exercises
#
# **Exercise 1 (recall).** For which gradients is $\mathbf{g}_{NGDiff} = 0$? What does it mean for unlearning,
# and what is NGDiff's length if they are orthogonal?
#
# <details><summary>Answer</summary>
#
# If $\mathbf{g}_F = k\, \mathbf{g}_R$ with $k > 0$: what lowers $L_R$ lowers $L_F$ as much, relative to the
# lengths, and no direction improves both. The library skips such a step. Orthogonal: $\sqrt 2$.
# </details>
#
# **Exercise 2 (knob).** Train a reference with `learned(authors("retain"), notebook)` and measure it with
# `recall`. Is 0.31 its forget ROUGE? Then set `LEVEL` to 0.5, and let the search look from the first round on
# (`host.round >= 1`), and run section 7 again. Which methods change places?
#
# <details><summary>Answer</summary>
#
# The reference's forget ROUGE is about 0.31 with seed 0: answers share words such as "this author". At 0.5 all
# methods stop earlier and have lost less.
# </details>
#
# **Exercise 3 (code).** Write `safe_weights`: for two gradients, the smallest and the largest $c$ in $[0, 1]$
# for which $c\,\mathbf{g}_R - (1-c)\,\mathbf{g}_F$ satisfies (5). (Multiply out. Only if
# $\mathbf{g}_R^\top \mathbf{g}_F > 0$ is there anything to obey.)


# %%
def safe_weights(g_R, g_F):
    """Return (smallest c, largest c)."""
    ### BEGIN SOLUTION
    s = (g_R @ g_F).clamp_min(0.0)
    return s / (g_R @ g_R + s), g_F @ g_F / (g_F @ g_F + s)
    ### END SOLUTION


# %%
def holds_ngdiff(answer):
    for g_R, g_F in torch.randn(20, 2, 5, generator=torch.Generator().manual_seed(1)):
        low, high = answer(g_R, g_F)
        c = (1 / g_R.norm()) / (1 / g_R.norm() + 1 / g_F.norm())
        assert low <= c <= high, "NGDiff's c_t must lie between the two, by Lemma 4."


x, y, xy = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])
check(
    lambda *both: torch.stack([torch.as_tensor(c) for c in safe_weights(*both)]),
    Case((x, y), torch.tensor([0.0, 1.0]), "Orthogonal gradients: every c is safe."),
    Case(
        (x, xy), torch.tensor([1 / 2, 2 / 3]), "c |g_R|^2 >= (1 - c) g_R.g_F gives the smallest, likewise F."
    ),
    Case((x, -xy), torch.tensor([0.0, 1.0]), "g_R.g_F below 0: both terms help each other."),
)
check(safe_weights, Holds(holds_ngdiff))

# %% [markdown]
# **Exercise 4 (open).** NGDiff gives forgetting unit weight for ever. How would you decide that it is enough,
# if you had no retrained reference: a ROUGE, a loss of $\ln V$ (a random guess), a loss like that on unseen
# authors? What would each do to a model that has to be *indistinguishable* from one that never saw F?
#
# ## References
#
# - Anonymous, *Unlearning as multi-task optimization: a normalized gradient difference approach with adaptive
#   learning rate* (paper 001).
# - L. Liu et al., *Towards impartial multi-task learning* (IMTL-G), ICLR 2021. A. Navon et al., *Multi-task
#   learning as a bargaining game* (Nash-MTL), ICML 2022. Q. Liu et al., *ConFIG: towards conflict-free training
#   of physics informed neural networks*, 2024.
# - Z. Chen et al., *GradNorm: gradient normalization for adaptive loss balancing in deep multitask networks*,
#   ICML 2018.
# - T. Yu et al., *Gradient surgery for multi-task learning* (PCGrad), NeurIPS 2020. J.-A. Désidéri,
#   *Multiple-gradient descent algorithm (MGDA)*, 2012.
