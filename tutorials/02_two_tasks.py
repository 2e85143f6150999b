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
# # 02  Why is unlearning a problem of two tasks?
#
# > **Time** 40 minutes to read, under a minute to run. **Hardware** a laptop's CPU. **Needs** gradients,
# > PyTorch's basics, tutorial 01.
# >
# > **Afterwards you can** say what "Pareto optimal" means for unlearning, draw the front that a weighted sum of
# > two losses reaches, place any multi-task method on it, and name three things that the theory does not
# > promise.
# >
# > **Paper** 001, *Unlearning as multi-task optimization* (NGDiff), sections 2.1 and 2.2, Figure 1.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from torch import nn
from torch.nn.functional import cross_entropy

import unlearnkit
from unlearnkit import NLL, AscentNLL, FixedWeights, NGDiff, PCGrad, PlainHost
from unlearnkit.gradients import gram_matrix
from unlearnkit.models import WithCriterion
from unlearnkit.plots import ROLES, method_styles, notebook_axes
from unlearnkit.testing.exercise import Case, check
from unlearnkit.testing.lesson import accuracy, digit_net, digits, fresh, train_net

# %% [markdown]
# ## 1. The picture: two losses, one model
#
# Unlearning wants two things of one set of parameters $\theta$. Let $L_R$ be the loss on the data to keep (the
# *retain set* R) and $L_F$ the loss on the data to forget (the *forget set* F):
#
# $$\min_\theta L_R(\theta) \quad \& \quad \max_\theta L_F(\theta)$$
#
# **Definition 1.** A model $\theta$ is *dominated* by $\theta'$ if $L_R(\theta) \ge L_R(\theta')$ and
# $L_F(\theta) \le L_F(\theta')$, one of the two strictly. A model that no other one dominates is *Pareto
# optimal*; all such models together are the *Pareto front*.
#
# We start where the front can be drawn: the parameters are two numbers, $L_R$ is smallest at the point $a$ and
# $L_F$ largest at the point $b$. The Pareto front is then the straight line from $a$ to $b$: at any other point
# a step towards that line improves both losses. The *linear scalarization problem* makes one loss of the two,
# with a weight $c$:
#
# $$\mathrm{LSP}(\theta; c) = c \cdot L_R(\theta) - (1 - c) \cdot L_F(\theta) \tag{1}$$
#
# $$\mathbf{g}_{\text{static}}(c) = c\, \mathbf{g}_R - (1 - c)\, \mathbf{g}_F \tag{2}$$
#
# with $\mathbf{g}_R, \mathbf{g}_F$ the gradients of $L_R, L_F$. In unlearning (2) is called *GDiff* (gradient
# difference, $c = 0.5$); $c = 1$ is descent on R alone (GD), $c = 0$ ascent on F alone (GA). Two pairs of
# losses, and descent on (1) from scratch, for many starts `theta` [n, 2] and weights `c` [n] at once:

# %%
a, b = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.0])
TOYS = {  # name: (L_R, L_F)
    "bulging": (lambda t: (t - a).square().sum(-1), lambda t: -(t - b).square().sum(-1)),
    "hollow": (lambda t: 1 - (-(t - a).square().sum(-1)).exp(), lambda t: (-(t - b).square().sum(-1)).exp()),
}


def descend(toy, theta, c, rounds=3000, lr=0.1):
    theta = theta.double().clone().requires_grad_()
    for _ in range(rounds):
        L_R, L_F = (loss(theta) for loss in TOYS[toy])
        (gradient,) = torch.autograd.grad((c * L_R - (1 - c) * L_F).sum(), theta)
        theta = (theta - lr * gradient).detach().requires_grad_()
    return theta.detach()


# %% [markdown]
# The library's version of the same step is `FixedWeights(c)`. It speaks to a *host*, which owns the model and
# the optimizer; `PlainHost` is the one in plain torch. Both objectives are minimised there, so the forget side
# is `AscentNLL`, which is $-L_F$. Here a "batch" is simply the loss function:


# %%
class Point(nn.Module):
    """A model whose parameters are two numbers."""

    def __init__(self, start):
        super().__init__()
        self.theta = nn.Parameter(torch.as_tensor(start, dtype=torch.float64))

    def losses(self, loss):
        return loss(self.theta)[None]

    def counts(self, loss):
        return torch.ones(1)


# %%
def follow(strategy, pair, start, rounds=300, lr=0.1, slow=10):
    """Let a strategy of the library move a point; the rate falls like 1 / (1 + round / slow)."""
    point = Point(start)
    sgd = torch.optim.SGD(point.parameters(), lr=lr)
    host = PlainHost(point, forget=AscentNLL(), retain=NLL(), optimizer=sgd)
    for round_ in range(rounds):
        host.lr_scale = 1 / (1 + round_ / slow)
        strategy.step(host, {"retain": pair[0], "forget": pair[1]})
    return point.theta.detach()


for toy in TOYS:
    start, c = torch.tensor([[0.5, 0.9]]), torch.tensor([0.3])
    mine = descend(toy, start, c, rounds=20)[0]
    theirs = follow(FixedWeights(0.3), TOYS[toy], start[0], rounds=20, slow=float("inf"))
    torch.testing.assert_close(mine, theirs)
print("FixedWeights(c) takes the same steps as mine on both toys")

# %% [markdown]
# Now the front (the line from $a$ to $b$), where GDiff ends for nine weights from three starts, and where
# NGDiff, the method of tutorial 03, ends from the same starts.

# %%
starts = torch.tensor([[-0.6, 0.8], [0.1, 1.2], [0.5, 0.9]])
cs = torch.linspace(0.1, 0.9, 9)
line = a + torch.linspace(0, 1, 101)[:, None] * (b - a)
cloud = torch.rand(1500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2.4])
cloud = cloud - torch.tensor([1.5, 1.2])
ends = {}
for toy in TOYS:
    every = [(start, c) for start in starts for c in cs]
    swept = descend(toy, torch.stack([s for s, _ in every]), torch.stack([c for _, c in every]))
    ngdiff = torch.stack([follow(NGDiff(), TOYS[toy], start) for start in starts])
    ends[toy] = {"GDiff, 9 values of c": swept, "NGDiff, 3 starts": ngdiff}

# %%
figure, panels = plt.subplots(1, 2, figsize=(6, 3.6))
styles = method_styles(["NGDiff, 3 starts", "GDiff, 9 values of c"])
for panel, (toy, (L_R, L_F)) in zip(panels, TOYS.items(), strict=True):
    panel.scatter(L_F(cloud), L_R(cloud), s=3, color="#CCCCCC", label="other models")
    panel.plot(L_F(line), L_R(line), color="black", linewidth=1.2, label="Pareto front")
    for name, theta in ends[toy].items():
        look = {"color": styles[name].color, "ms": 8, "mec": "white", "label": name}
        panel.plot(L_F(theta), L_R(theta), styles[name].marker, **look)
    panel.set(title=f"{toy} front", xlabel="forget loss (higher is better →)")
panels[0].set(xlim=(-4.5, 0.2), ylim=(-0.2, 4.5))
panels[0].set_ylabel("retain loss (← lower is better)")
_ = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

# %% [markdown]
# The best corner is at the lower right. On the **bulging** front each $c$ gives another point, so sweeping $c$
# draws the front. On the **hollow** front every $c$ ends at one of the two corners: the middle of the front is
# there, but no weight reaches it. A method that changes its weights on the way stops anywhere on the front,
# depending on the start.

# %%
on_line = {toy: theta["GDiff, 9 values of c"][:, 0] for toy, theta in ends.items()}
assert torch.allclose(on_line["bulging"].view(3, 9), (1 - 2 * cs).double().expand(3, 9), atol=1e-3)
assert (on_line["hollow"].abs() > 0.8).all()
assert (ends["hollow"]["NGDiff, 3 starts"][:, 0].abs() < 0.6).all()
print("bulging front: GDiff ends at (1 - c) b + c a from every start")
print("hollow front: GDiff ends near a corner for all nine weights; NGDiff stops in between")

# %% [markdown]
# ## 2. Lemma 2: what a minimiser would give us
#
# **Lemma 2.** For $0 < c < 1$ the model $\theta^*_{LSP}(c) = \arg\min_\theta \mathrm{LSP}(\theta; c)$ is Pareto
# optimal.
#
# *Proof.* Suppose $\theta'$ dominates it. Then $c\,L_R$ does not grow and $-(1-c)\,L_F$ does not grow from
# $\theta^*$ to $\theta'$, and one of them falls, because both weights are above 0. So
# $\mathrm{LSP}(\theta') < \mathrm{LSP}(\theta^*)$, against minimality. $\square$
#
# The figure above shows its two limits. The lemma says nothing of the *converse*: not every Pareto optimal
# model minimises LSP for some $c$ (the hollow front). And it speaks of a *global minimiser*. The paper's
# footnote grants that deep learning may not find one. There is a stronger objection: in unlearning it **need
# not exist**. $L_F$ is a cross-entropy, and that can be made as large as one likes, so $-L_F$ has no lower
# bound: the first two lines below.
#
# Does $L_R$ stop this? Only if it grows along with $L_F$, and faster. Take a linear classifier, one retain
# sample and one forget sample whose inputs are orthogonal. Then weights along the forget input change $L_F$
# alone, and LSP falls without end for *every* $c < 1$: the other lines. A large network has many such
# directions.

# %%
logits, right = torch.tensor([[0.0, 1.0]]), torch.tensor([0])
print([round(cross_entropy(scale * logits, right).item()) for scale in (10, 100, 1000)])

keep, forget, LSPs = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), []
for scale in (0, 10, 100, 1000):
    W = torch.tensor([[5.0, -1.0], [-5.0, 1.0]]) @ torch.diag(torch.tensor([1.0, float(scale)]))
    L_R, L_F = cross_entropy(keep @ W.T, right), cross_entropy(forget @ W.T, right)
    LSPs.append([(c * L_R - (1 - c) * L_F).item() for c in (0.5, 0.9, 0.99)])
assert (np.diff(LSPs, axis=0) < 0).all() and max(LSPs[-1]) < -15
print("LSP falls without end for c = 0.5, 0.9 and 0.99, while the retain loss stays as it is")

# %% [markdown]
# So for a cross-entropy that is ascended, "the minimiser of LSP" is in general a name for nothing. What one
# runs is a *number of steps* from the target, and the number is part of the method. (Remedies: an objective
# with a lower bound such as NPO, or a stop when forgetting is enough. Both are in the library.)
#
# ## 3. Every method is a rule for $c_t$
#
# The paper lets the weight change from step to step:
#
# $$\theta_{t+1} = \theta_t - \eta_t\, \mathbf{g}_{UN}(\theta_t; c_t), \qquad
# \mathbf{g}_{UN}(\theta; c_t) = c_t\, \mathbf{g}_R(\theta) - (1 - c_t)\, \mathbf{g}_F(\theta) \tag{3}$$
#
# and lists methods by their $c_t$. From scratch, three of the paper's items and NGDiff (section 3.2):


# %%
def weight_of_retain(g_R, g_F):
    """The paper's c_t, for gradients g_R, g_F of the two losses."""
    r, f, unit_R, unit_F = g_R.norm(), g_F.norm(), g_R / g_R.norm(), g_F / g_F.norm()
    surgery = 1 + g_F @ g_R / r**2  # item 6: c / (1 - c)
    return {
        "PCGrad": surgery / (1 + surgery),
        "IMTLG": g_F @ (unit_F - unit_R) / ((g_F - g_R) @ (unit_F - unit_R)),  # item 7
        "NGDiff": (1 / r) / (1 / r + 1 / f),
    }


# %% [markdown]
# The library sees rows that are descended, $g_r = \mathbf{g}_R$ and $g_f = -\mathbf{g}_F$, and returns one
# weight for each; $c_t$ is the first over their sum.

# %%
generator = torch.Generator().manual_seed(0)
library = {"PCGrad": PCGrad(symmetric=False), "IMTLG": unlearnkit.IMTLG(), "NGDiff": NGDiff()}
for _ in range(100):
    g_R, g_F = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    # item 6 is meant for g_R.g_F > 0: what lowers L_R lowers L_F, the tasks conflict
    g_F = 3 * g_F if g_F @ g_R > 0 else -3 * g_F
    for name, c_t in weight_of_retain(g_R, g_F).items():
        weights = library[name].weights(gram_matrix([g_R], [-g_F]), {})
        torch.testing.assert_close(c_t, weights.retain / (weights.retain + weights.forget))
print("the library's weights are the paper's c_t for", ", ".join(library))

# %% [markdown]
# (Item 7 and NGDiff give the same number. That is no accident; tutorial 03 derives it.)
#
# ## 4. The experiment: Figure 1 in small
#
# The data are 1200 handwritten digits, 8 x 8 pixels; a tenth of the labels is wrong, so that some samples can
# only be known by heart. The forget set is a random tenth. A small network learns all of it (the *target*);
# another one, the *retrained* reference, never sees the forget set.

# %%
data = digits()
target = train_net(digit_net(), data.train, epochs=40)
retrained = train_net(digit_net(), data.retain, epochs=40)


def draw(dataset, generator, size=64):
    rows = torch.randperm(len(dataset), generator=generator)[:size]
    return {"inputs": dataset.tensors[0][rows], "targets": dataset.tensors[1][rows], "index": rows}


@torch.no_grad()
def measure(net):
    """Forget loss, retain loss, forget accuracy, retain accuracy."""
    sets = (data.forget, data.retain)
    losses = [cross_entropy(net(s.tensors[0]), s.tensors[1]).item() for s in sets]
    return [*losses, *(accuracy(net, s) for s in sets)]


# %%
def unlearned(strategy, seed, stops=(30,)):
    """Start at the target, make rounds with Adam, and measure after each number in `stops`."""
    net, generator, found = fresh(target), torch.Generator().manual_seed(seed), []
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    host = PlainHost(WithCriterion(net), forget=AscentNLL(), retain=NLL(), optimizer=adam)
    for _ in range(max(stops)):
        batch = {"forget": draw(data.forget, generator), "retain": draw(data.retain, generator)}
        strategy.step(host, batch)
        found += [measure(net)] if host.round in stops else []
    return np.array(found).squeeze()


# %% [markdown]
# Eleven weights of GDiff, and the library's multi-task methods: 30 rounds of Adam each, from the same target,
# with the same batches within a seed. Three seeds.

# %%
SEEDS, WEIGHTS = (0, 1, 2), (0.0, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0)
NAMES = "NGDiff IMTLG NashMTL ConFIG MGDA PCGrad UPGrad DualProj CAGrad AlignedMTL GradVaccine"
NAMES = (NAMES + " GradNorm LossNorm DWA RLW GradDrop Alternate").split()
METHODS = {name: getattr(unlearnkit, name) for name in NAMES}
METHODS["PCGrad, item 6"] = lambda: PCGrad(symmetric=False)
random = {name: lambda seed, name=name: METHODS[name](seed=seed) for name in ("RLW", "GradDrop")}
make = {name: lambda seed, name=name: METHODS[name]() for name in METHODS} | random
sweep = np.array([[unlearned(FixedWeights(c), seed) for c in WEIGHTS] for seed in SEEDS])
found = {name: np.array([unlearned(make[name](seed), seed) for seed in SEEDS]) for name in METHODS}

# %%
styles, marks = method_styles(METHODS), {"target": measure(target), "retrained": measure(retrained)}


def place(panel, x, y, guess):
    """Draw all methods on one panel: mean over seeds, range as bars."""
    middle = sweep.mean(0)
    panel.plot(middle[:, x], middle[:, y], "--o", color="#56B4E9", ms=3, lw=1.2, label="GDiff, 11 weights c")
    for name, values in found.items():
        at, reach = values[:, [x, y]].mean(0), np.ptp(values[:, [x, y]], axis=0) / 2
        look = {"fmt": styles[name].marker, "color": styles[name].color, "mec": "white", "ms": 8}
        panel.errorbar(*at, *reach[::-1], elinewidth=1, label=name, **look)
    for name, values in marks.items():
        panel.plot(
            values[x], values[y], ROLES[name].marker, color=ROLES[name].color, ms=12, zorder=5, label=name
        )
    panel.axvline(guess, color="grey", linestyle=":", label="random guess")
    panel.axhline(guess, color="grey", linestyle=":")


# %% tags=["nbval-ignore-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 5.4))
place(left, 0, 1, guess=np.log(10))
place(right, 2, 3, guess=0.1)
left.set(xscale="log", yscale="log", xlabel="forget loss\n(higher is better →)")
left.set_ylabel("retain loss (← lower is better)")
right.set_xlabel("forget accuracy\n(best near the retrained reference)")
right.set_ylabel("retain accuracy (higher is better →)")
_ = figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, columnspacing=1)

# %% [markdown]
# Each mark is the mean of three seeds, its bars the range. The two panels correspond to Figure 1 of the paper
# (losses; what the model gets right). **Do the methods leave the line of GDiff's sweep?** For each method the
# table reads off the sweep's retain loss at the *same* forget loss (interpolated between weights, in
# logarithms) and divides. Below 1: better than a static weight. The last column is the weight with that forget
# loss.


# %% tags=["nbval-ignore-output"]
def on_the_sweep(values, points):
    """The sweep's retain loss and weight at a method's forget loss, one seed."""
    order = np.argsort(points[:, 0])
    log_forget, log_retain = np.log(points[order, 0]), np.log(points[order, 1])
    at = np.log(values[0])
    return np.exp(np.interp(at, log_forget, log_retain)), np.interp(at, log_forget, np.array(WEIGHTS)[order])


places = {n: np.array([on_the_sweep(*pair) for pair in zip(found[n], sweep, strict=True)]) for n in found}
ratios = {name: found[name][:, 1] / places[name][:, 0] for name in found}
rows = ["| method | forget loss | retain loss | over the sweep's | c |", "| :-- | --: | --: | --: | --: |"]
for name in sorted(found, key=lambda name: places[name][:, 1].mean()):
    losses, ratio = "{:.2f} | {:.2f}".format(*found[name].mean(0)), ratios[name]
    ratio = f"{ratio.mean():.2f} ± {ratio.std(ddof=1):.2f}"
    rows.append(f"| {name} | {losses} | {ratio} | {places[name][:, 1].mean():.2f} |")
Markdown("\n".join(rows))

# %%
alone = ("RLW", "GradDrop", "DWA", "LossNorm", "GradNorm")
balanced = [name for name in METHODS if name not in alone]
assert all(0.75 < ratios[name].mean() < 1.25 for name in balanced)
assert all(ratios[name].mean() > 1 for name in ("RLW", "GradDrop"))
assert sweep[:, 0, :2].min() > np.log(10) and sweep[:, -1, 0].max() < np.log(10)
assert (np.diff(sweep[:, 3:, 0], axis=1) < 0).all()
print(f"{len(balanced)} methods lie within a quarter of the line that static weights draw;")
print("RLW and GradDrop, which draw at random, lie above it")
print(
    "c = 0 drives BOTH losses beyond a random guess, c = 1 forgets nothing; from c = 0.55 on more c, less forgetting"
)

# %% [markdown]
# **What do the methods buy, then?** At this size they do not lift the line, they *choose a place on it*:
# without a weight to tune, NGDiff ends where $c$ of about 0.64 would, PCGrad at about 0.61, GradNorm at about
# 0.9 (last column). That is worth something, because a step of 0.1 in $c$ is a factor of about 3 in $L_F$. Only
# the paper's one-sided PCGrad (item 6) comes out clearly below the line, by about a tenth. It is also what Xin
# et al. (2022), whom the paper cites, report of multi-task methods in general: well-chosen static weights do as
# well.
#
# **Is this line the Pareto front?** No, it is where 30 rounds lead. The retrained reference (star) lies off it
# on the good side: as much forgotten as between $c = 0.75$ and $0.8$, at a retain loss as between $c = 0.8$ and
# $0.9$. Next: what more rounds do.

# %%
ROUNDS = (10, 20, 40, 80, 160)
paths = np.array([unlearned(FixedWeights(0.5), seed, ROUNDS)[:, :2] for seed in SEEDS])
LSP = 0.5 * paths[:, :, 1] - 0.5 * paths[:, :, 0]
assert (np.diff(LSP, axis=1) < 0).all()
assert (LSP[:, -1] < 4 * LSP[:, 2]).all()
print("LSP falls with every doubling of the rounds: there is no minimiser in sight, on all seeds")

# %% tags=["nbval-ignore-output"]
axes = notebook_axes(3.2)
lines = {"forget loss": (paths[..., 0], "#0072B2"), "retain loss": (paths[..., 1], "#D55E00")}
for label, (values, color) in lines.items():
    axes.plot(ROUNDS, values.mean(0), "-o", color=color, label=label)
    axes.fill_between(ROUNDS, values.min(0), values.max(0), color=color, alpha=0.2)
axes.plot(ROUNDS, -LSP.mean(0), "--s", color="black", markersize=4, label="−LSP, what GDiff\nmaximises")
axes.axhline(np.log(10), color="grey", linestyle=":", label="random guess")
axes.set(xscale="log", yscale="log", xlabel="rounds of GDiff, c = 0.5")
axes.set_ylabel("loss")
_ = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

# %% [markdown]
# ## 5. Theorem 3, and what it does not say
#
# **Theorem 3.** For any $\{c_t\}$ with $0 \le c_t \le 1$ that converges, the limit $\theta^* = \lim_t \theta_t$
# of (3) is Pareto optimal.
#
# The paper's proof: in the limit $c\,\mathbf{g}_R(\theta^*) - (1 - c)\,\mathbf{g}_F(\theta^*) = 0$ with
# $c = \lim c_t$; $\theta^*$ "is equivalent to" $\arg\min \mathrm{LSP}(\theta; c)$, because that has the same
# stationary condition; Lemma 2 does the rest.
#
# The step in quotes is the slip: a zero gradient makes a *stationary point*, and a stationary point is sure to
# be a minimiser only where LSP is convex; elsewhere it may be a local minimum, a saddle or a maximum. One
# dimension is enough to see it. Both losses below have two good places, and the left one is the better for
# both.

# %%
WELLS = (
    lambda t: ((t**2 - 1) ** 2 + 0.3 * t).sum(-1),  # L_R
    lambda t: 1.5 - (((t - 0.1) ** 2 - 1) ** 2 + 0.3 * t).sum(-1),  # L_F
)
STOPS = {"FixedWeights": FixedWeights(0.5), "NGDiff": NGDiff(), "MGDA": unlearnkit.MGDA()}
STOPS |= {"CAGrad": unlearnkit.CAGrad(), "PCGrad": PCGrad()}
stops = {name: follow(strategy, WELLS, [1.4], lr=0.05) for name, strategy in STOPS.items()}
better = torch.tensor([-1.0])
for theta in stops.values():
    slope_R, slope_F = (torch.func.grad(loss)(theta) for loss in WELLS)
    c = slope_F / (slope_R + slope_F)  # the weight for which g_UN = 0 here
    assert -1e-3 < c < 1 + 1e-3
    assert WELLS[0](better) < WELLS[0](theta) and WELLS[1](better) > WELLS[1](theta)
print(f"{len(stops)} methods stop in the right-hand wells: g_UN = 0 for a c in [0, 1], and dominated by -1")

# %%
axes, theta = notebook_axes(3.2), torch.linspace(-1.5, 1.5, 200)[:, None]
labels = {"retain loss, lower is better": "#D55E00", "forget loss, higher is better": "#0072B2"}
for loss, (label, color) in zip(WELLS, labels.items(), strict=True):
    axes.plot(theta, loss(theta), color=color, label=label)
    axes.plot(stops["NGDiff"], loss(stops["NGDiff"]), "o", color=color, ms=9, mec="white")
    axes.plot(better, loss(better), "*", color=color, ms=13, mec="white")
axes.plot([], [], "ko", markersize=7, label="where NGDiff stops")
axes.plot([], [], "k*", markersize=10, label="a model that dominates it")
axes.set(xlabel="the one parameter", ylabel="loss")
_ = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

# %% [markdown]
# All methods stop in the right-hand wells, between the two bottoms (0.96 for $L_R$, 1.06 for $L_F$), where
# going left costs $L_F$ and going right costs $L_R$. The limit exists, $c_t$ converges, and the model at $-1$
# is better in both losses. So the theorem as it is stated is false. Four more gaps, each with its smallest
# example:
#
# - **The ends $c = 0$ and $c = 1$.** Theorem 3 admits them, Lemma 2 does not. With $L_R = x^2$, $L_F = -y^2$
#   and $c = 1$ descent goes to $(0, y_0)$, which $(0, 0)$ dominates.
# - **Not a minimiser even where the claim is true.** In the middle of the hollow front NGDiff's limit is Pareto
#   optimal, yet there it is a *maximum* of LSP along the front.
# - **Steps that die out.** With $\eta_t = 2^{-t}$ every start converges to some point nearby, with any
#   gradient. "(3) gives $\mathbf{g}_{UN} \to 0$" needs $\sum_t \eta_t = \infty$.
# - **There is no limit.** With an ascended cross-entropy the iterates run away (section 4), and the theorem is
#   silent.
#
# **What is left.** Let the gradients be continuous, $\theta_t \to \theta^*$, $c_t \to c$ and
# $\sum_t \eta_t = \infty$. Then $c\,\mathbf{g}_R(\theta^*) = (1-c)\,\mathbf{g}_F(\theta^*)$. *Proof.* Otherwise
# let $v$ be the unit vector along the limit $\mathbf{g}$ of $\mathbf{g}_{UN}$; from some $t$ on
# $v^\top \mathbf{g}_{UN} > |\mathbf{g}|/2$, so $\theta_t$ moves along $-v$ by more than
# $\sum \eta_t |\mathbf{g}|/2 = \infty$, and does not converge. $\square$
#
# Such a point is called *Pareto stationary*: no direction improves both losses to first order. It is a
# statement about slopes, as "the gradient is zero" is for one loss. If $L_R$ and $-L_F$ are both convex and
# $0 < c < 1$ it is Pareto optimal; but where $L_F$ is convex (cross-entropy of a linear model), $-L_F$ is
# concave.

# %%
corner = (lambda t: t[0] ** 2, lambda t: -(t[1] ** 2))
stop = follow(FixedWeights(1.0), corner, [1.0, 1.0])
torch.testing.assert_close(stop, torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-3, rtol=0)
print("c = 1 stops at (0, 1), which (0, 0) dominates")
t = torch.linspace(-0.2, 0.2, 3)[:, None] * (b - a) / 2  # the middle of the hollow front and two neighbours
for c in cs[1:-1]:
    L_R, L_F = (loss(t) for loss in TOYS["hollow"])
    LSP = c * L_R - (1 - c) * L_F
    assert LSP[1] > LSP.min()
print("the middle of the hollow front minimises LSP for no c")

# %% [markdown]
# ## 6. What went wrong, what is not proven
#
# - *Lemma 2* assumes a minimiser; for $-L_F$ a cross-entropy there is none in general (section 2). Its
#   converse, that sweeping $c$ yields "the Pareto frontier", holds for bulging fronts only (section 1).
# - *Theorem 3* confuses stationary points with minimisers (section 5). No experiment in the paper tests it, and
#   ours contradicts it.
# - *Figure 1's line* is a set of stopping points: another number of rounds draws another line. "Dominated" then
#   means "after the same number of steps".
# - *PCGrad*, item 6: printed without the $\max(0, \cdot)$ of the original, so $c_t$ can leave $[0, 1]$ where
#   $\mathbf{g}_F^\top \mathbf{g}_R$ is strongly negative, i.e. where the tasks help each other (lab L3); the
#   original also projects both gradients. The library has both forms.
# - *Our experiment* is one target, one split, 38 000 parameters, three orders of the batches, one learning
#   rate. Here no method but item 6 came out clearly better than the line of the static weights, and the random
#   ones, DWA and GradNorm came out worse; it is no theorem.
# - *Pareto optimal is not the goal.* The target itself is Pareto optimal if no other model has as small an
#   $L_R$. The retrained reference (star) lies near the target in the accuracy panel (0.79 of the forget set,
#   0.96 of the retain set right); nothing in this theory aims at it.
#
# ## Summary
#
# - Unlearning has two losses. A weighted sum of them (LSP) is the simplest method; each $c$ is another
#   compromise.
# - Minimisers of LSP are Pareto optimal (Lemma 2), but for an ascended cross-entropy they need not exist, and
#   hollow fronts are out of their reach.
# - Multi-task methods are rules for $c_t$. In small most choose a place on GDiff's line.
# - A limit of such a method is Pareto *stationary*. Theorem 3 claims more than its proof shows.
#
# ## Exercises
#
# **Exercise 1 (recall).** Where in the proof of Lemma 2 are $c > 0$ and $c < 1$ used? What is left of the lemma
# at $c = 1$?
#
# <details><summary>Answer</summary>
#
# If only $L_F$ is strictly better at $\theta'$, LSP falls because $1 - c > 0$; if only $L_R$ is, because
# $c > 0$. At $c = 1$ no model can have a smaller $L_R$ than the minimiser, but one may have the same $L_R$ and
# a larger $L_F$ ("weakly" Pareto optimal).
# </details>
#
# **Exercise 2 (knob).** In the hollow toy $a$ and $b$ are 2 apart. Move them to $(\pm 0.5, 0)$ and run section
# 1 again. Is the front hollow still? At which distance does it change? (Look at the second derivative of LSP at
# $c = 1/2$ in the middle of the line. The asserts are about the old distance and will stop you: comment them
# out.)
#
# <details><summary>Answer</summary>
#
# At distance 1 it bulges at its middle. With half the distance $h$, LSP at $c = 1/2$ is along the line
# $1/2 - (e^{-(x+h)^2} + e^{-(x-h)^2})/2$; its second derivative at $0$ is $2 e^{-h^2}(1 - 2h^2)$, positive for
# $h < 1/\sqrt 2$, that is a distance below $\sqrt 2$, about 1.41.
# </details>
#
# **Exercise 3 (code).** Write `undominated`: given points `[n, 2]` with columns $(L_F, L_R)$, say of each
# whether no other point dominates it (Definition 1).


# %%
def undominated(points):
    """Return a boolean vector [n]."""
    ### BEGIN SOLUTION
    L_F, L_R = points[:, 0], points[:, 1]
    no_worse = (L_F[None] >= L_F[:, None]) & (L_R[None] <= L_R[:, None])
    strictly = (L_F[None] > L_F[:, None]) | (L_R[None] < L_R[:, None])
    return ~(no_worse & strictly).any(1)
    ### END SOLUTION


# %%
def case(points, expected, hint):
    return Case((torch.tensor(points),), lambda out: out.tolist() == expected, hint)


check(
    undominated,
    case([[1.0, 1.0], [2.0, 0.5]], [False, True], "Large L_F and small L_R are good."),
    case([[1.0, 1.0], [2.0, 2.0]], [True, True], "Each is better in one loss."),
    case([[1.0, 1.0], [1.0, 1.0]], [True, True], "Equal points: one inequality must be strict."),
    case([[1.0, 1.0], [1.0, 0.5]], [False, True], "One strict inequality is enough."),
)

# %% [markdown]
# **Exercise 4 (open).** A colleague shows a figure in which her method lies below the line of GDiff's sweep.
# Which three things would you ask her before you believe that it is better? (Think of the number of rounds, the
# learning rate of each method, how many settings were tried, seeds, and the data on which the losses were
# measured.)
#
# ## References
#
# - Anonymous, *Unlearning as multi-task optimization: a normalized gradient difference approach with adaptive
#   learning rate* (paper 001), sections 2.1-2.2, Figure 1.
# - D. Xin, B. Ghorbani, J. Gilmer, A. Garg, O. Firat, *Do current multi-task optimization methods in deep
#   learning even help?*, NeurIPS 2022.
# - S. Boyd, L. Vandenberghe, *Convex Optimization*, section 4.7 (scalarization), 2004.
# - C. Fonseca, P. Fleming, *An overview of evolutionary algorithms in multiobjective optimization*,
#   Evolutionary Computation 3(1), 1995 (the hollow front).
