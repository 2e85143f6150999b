# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06  What should two optimizers share?
#
# > **Time** 1 minute to run, 45 minutes to read. **Hardware** any CPU.
# > **You need** tutorial 05 (one optimizer state for two losses, or one each), Adam.
# > **Afterwards** you can write DualOptim+ in 15 lines, say what its base and delta states tend to, why its second
# > moments can be negative and what a floor does, and what it costs in 32 and in 8 bits.
# > **Paper** 002, the slides *On the Stability of Multi-Objective Optimization in Machine Unlearning*: DualOptim+,
# > equations (4) to (7).

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
from collections import defaultdict
from functools import cache, partial

import torch
from IPython.display import Markdown

from unlearnkit import NLL, Alternate, DualOptim, DualOptimPlus, PairedDatasets, PlainHost
from unlearnkit.models import WithCriterion
from unlearnkit.plots import method_styles, notebook_axes
from unlearnkit.testing import ToyClassifier, toy_pair
from unlearnkit.testing.exercise import Case, check

# %% [markdown]
# ## The idea
#
# *Alternate* has one momentum for the forget and the retain side; *DualOptim* has one each. Sharing is good where the
# sides' gradients agree (each step serves both, and averages over twice as many batches); keeping apart is good where
# they conflict. DualOptim+ has both: a **base** state $B$ that every step of either side updates, and a **delta**
# state $\Delta_f$, $\Delta_r$ of each side for what the base does not explain. A step of side $s$ with gradient $\hat
# g_s$ does
#
# $$B\leftarrow\alpha_1B+(1-\alpha_1)\,\hat g_s, \tag{4}$$
# $$\Delta_s\leftarrow\alpha_2\Delta_s+(1-\alpha_2)(\hat g_s-B), \tag{5}$$
#
# and leaves the other delta alone (the slides repeat this as (6), once for each side). The slides stop here. How the
# parameters move is not on them; the natural reading, and what the authors' code does, is Adam with the momentum
# $u=\Delta_s+B$, and the same decomposition of the second moment (running means of $\hat g^2$). Running means start
# from zero, so each is divided by one minus its decay to the number of its steps (*bias correction*, hats below): the
# base counts the steps of both sides, a delta those of its own.
#
# From scratch, with the decays $\alpha_2=0.9$ and $\alpha_1=0.99$ for the first moment:


# %%
def plus_(p, g, side, state, lr, delta=(0.9, 0.95), base=(0.99, 0.999), floor=0.1, eps=1e-8):
    """Make one side's step in place; `state` starts as defaultdict(float). Returns u."""
    state["steps"] += 1
    state[side, "steps"] += 1
    whole = []
    for k, x in enumerate((g, g * g)):  # first and second moment
        state["base", k] = base[k] * state["base", k] + (1 - base[k]) * x  # (4)
        b = state["base", k] / (1 - base[k] ** state["steps"])
        state[side, k] = delta[k] * state[side, k] + (1 - delta[k]) * (x - b)  # (5)
        whole.append(state[side, k] / (1 - delta[k] ** state[side, "steps"]) + b)
    u, v = whole
    p.sub_(lr * u / (v.maximum(floor * b).sqrt() + eps))  # v can be negative: see below
    return u


# %% [markdown]
# ## The picture: base and delta in three worlds
#
# One parameter; the forget side's gradient is always 1. The retain side's is 1 (the sides *agree*), $-1$ (they are
# *opposed*), or 0 (*orthogonal*: what one side moves, the other does not care about). A round is a forget step and a
# retain step.

# %%
WORLDS = {"agree": 1.0, "orthogonal": 0.0, "opposed": -1.0}


def follow(g_r, rounds=400, base=0.99):
    """Return corrected base and forget delta after each round, [rounds, 2], and the state at the end."""
    p, state, found = torch.zeros(1).double(), defaultdict(float), []
    for t in range(1, rounds + 1):
        for side, g in (("forget", 1.0), ("retain", g_r)):
            plus_(p, torch.tensor([g]).double(), side, state, lr=0.0, base=(base, 0.999))
        found.append([state["base", 0] / (1 - base ** (2 * t)), state["forget", 0] / (1 - 0.9**t)])
    return torch.tensor(found), state


# %%
styles = method_styles(WORLDS)
axes = notebook_axes(3.6)
for world, g_r in WORLDS.items():
    path, _ = follow(g_r)
    axes.plot(range(1, 401), path[:, 0], color=styles[world].color, label=f"base, {world}")
    axes.plot(range(1, 401), path[:, 1], ":", color=styles[world].color, label=f"forget delta, {world}")
axes.set(xscale="log", xlabel="round (log scale)", ylabel="state, in forget gradients", ylim=(-0.1, 1.5))
axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 400], ["1", "2", "5", "10", "20", "50", "100", "200", "400"])
axes.set_title("What both sides want goes into the base, the rest into the deltas", loc="left")
_ = axes.legend(ncols=3, loc="upper center", columnspacing=1.0, handlelength=1.4)

# %% [markdown]
# ## Both limits
#
# **The sides agree.** Then $B=\hat g$ from the first step on (with bias correction), the residual is 0, and so are
# the deltas: DualOptim+ is Alternate on one momentum with decay $\alpha_1$.
#
# **They are opposed**, $\hat g_r=-\hat g_f$. The slides say $B\to0$. In the long run $B$ goes up with each forget
# step and down with each retain step. Let it be $x\,\hat g_f$ after a retain step; two steps later it is the same:
#
# $$x=\alpha_1\bigl(\alpha_1x+(1-\alpha_1)\bigr)-(1-\alpha_1)\quad\Rightarrow\quad x=-\frac{1-\alpha_1}{1+\alpha_1},$$
#
# that is $1/3$, $1/19$, $1/199$ for $\alpha_1=0.5$, $0.9$, $0.99$: an exact residue of the last gradient, small only
# for a slow base. Nearly all is then in the deltas, and DualOptim+ is nearly DualOptim.
#
# **In between**, let bars be long-run means just after a side's own step. Equation (5) makes $\bar\Delta_s=\bar
# g_s-\bar B_s$, so $\bar u_s=\bar\Delta_s+\bar B_s=\bar g_s$. *In the mean each side steps along its own gradient,
# whatever the other one does*, exactly as with DualOptim. What differs is how soon, and with how much noise.

# %%
path, state = follow(1.0)
assert state["forget", 0].abs() < 1e-12 and state["retain", 0].abs() < 1e-12
print("agreeing sides: both deltas are zero")
for decay in (0.5, 0.9, 0.99):
    _, state = follow(-1.0, rounds=2500, base=decay)
    residue = -(1 - decay) / (1 + decay)
    torch.testing.assert_close(state["base", 0].item(), residue, rtol=1e-6, atol=0)
print("opposed sides: after a retain step the base keeps (1 - a)/(1 + a) of the retain gradient, not 0")
for g_r in (1.0, 0.0, -0.4, -1.0):
    _, state = follow(g_r, rounds=1500)
    u = plus_(torch.zeros(1).double(), torch.ones(1).double(), "forget", state, lr=0.0)
    assert abs(u.item() - 1) < 5e-3
print("in every world the forget side ends by stepping along its own gradient")

# %% [markdown]
# ## The library's version
#
# `DualOptimPlus` has three presets. `slides` is the paper's order with base and delta of both moments, which is what
# we wrote. `authors` follows the authors' published scripts (two differences, below). `measured`, the default, has
# the paper's order for the momentum, and one plain second moment a side, with a floor (below).

# %%
theirs = ToyClassifier(seed=0, dtype=torch.float64)
optimizer = DualOptimPlus(theirs.parameters(), lr=0.05, preset="slides")
host = PlainHost(theirs, forget=NLL(), retain=NLL(), optimizer=optimizer)
mine, states = ToyClassifier(seed=0, dtype=torch.float64), [defaultdict(float), defaultdict(float)]
parameters = list(mine.parameters())
for t in range(20):
    batch = toy_pair(seed=t, dtype=torch.float64)
    Alternate().step(host, batch)
    for side in ("forget", "retain"):
        loss = torch.nn.functional.cross_entropy(mine(batch[side]), batch[side]["targets"])
        for p, g, state in zip(parameters, torch.autograd.grad(loss, parameters), states, strict=True):
            plus_(p.data, g, side, state, lr=0.05)
torch.testing.assert_close(parameters, list(theirs.parameters()))
print("20 rounds of fifteen lines and of unlearnkit.DualOptimPlus: the same parameters")

# %% [markdown]
# ## The order: base first, or base last
#
# The authors' code differs from their slides. It takes the residual against the base of *before* this gradient, and
# updates the base last (`order="lagged"`; the paper's is `order="current"`). In the mean nothing changes. At the
# start it does. The update $u$ of the first forget steps, for constant gradients:


# %%
def updates(gradients, **settings):
    """Return u of each step: with rate and eps of 1e9, v drops out of lr u / (sqrt(v) + eps)."""
    p = torch.nn.Parameter(torch.zeros_like(gradients[0][1]))
    optimizer = DualOptimPlus([p], lr=1e9, eps=1e9, second_moment="decoupled", **settings)
    found = []
    for side, g in gradients:
        p.data.zero_()
        p.grad = g.clone()
        optimizer.step(side=side)
        found.append(-p.detach().clone())
    return torch.stack(found)


def turns(g_r, rounds):
    return [("forget", torch.ones(1).double()), ("retain", torch.full((1,), g_r).double())] * rounds


# %%
first = {
    (order, world): updates(turns(WORLDS[world], 30), order=order)[::2, 0]
    for order in ("current", "lagged")
    for world in ("agree", "opposed")
}
axes = notebook_axes(3.4)
for (order, world), line in first.items():
    kind = "-" if order == "current" else ":"
    axes.plot(range(1, 31), line, kind, color=styles[world].color, label=f"{order}, {world}")
axes.axhline(1, color="black", linewidth=0.8)
axes.set(xlabel="forget step", ylabel="update $u$ (right: 1)", ylim=(0.5, 1.6))
axes.set_title("Lagged overshoots where the sides agree, current lags where they do not", loc="left")
_ = axes.legend(ncols=2)

# %%
expected = [[1, 1, 1, 1], [1, 0.684, 0.717, 0.759], [1, 1.474, 1.30, 1.21], [1, 0.998, 0.998, 0.998]]
for found, values in zip(first.values(), expected, strict=True):
    torch.testing.assert_close(found[:4], torch.tensor(values).double(), rtol=0, atol=6e-3)
base = (1 - 0.99) * 1.0  # equations (4) and (5) as printed, without bias correction, in the very first step
delta = (1 - 0.9) * (1.0 - base)
assert abs(base + delta - 0.109) < 1e-9
print("lagged, agreeing sides: the second step is half too long; current, opposed sides: a third too short")
print("as printed, without correction, the first update is a ninth of the gradient")

# %% [markdown]
# Neither order is right everywhere; each is wrong for a dozen rounds. The library's default is `current`, because a
# step that is too short does less harm.
#
# ## The noise: why the base must be slow
#
# If both sides' gradients are pure noise of variance 1, Adam's momentum with decay 0.9 has the variance
# $(1-0.9)/(1+0.9)\approx0.053$. The base adds noise of its own to $u$, unless it averages over many more steps.

# %%
decays = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
generator = torch.Generator().manual_seed(0)
noise = [(side, torch.randn(500, generator=generator)) for _ in range(250) for side in ("forget", "retain")]
variance = {}  # in units of Adam's
for order in ("current", "lagged"):
    for a in decays:
        found = updates(noise, order=order, base_betas=(a, 0.999))[-100::2]
        variance[order, a] = 19 * found.var().item()
    assert 1.8 < variance[order, 0.9] < 2.5 and variance[order, 0.99] < 1.3
print("with equal decays the update has twice Adam's noise, in both orders")
print("with a base that is ten times slower it has hardly more than Adam")

# %%
axes = notebook_axes(3.2)
for order, line in (("current", "o-"), ("lagged", "D:")):
    axes.plot([1 / (1 - a) for a in decays], [variance[order, a] for a in decays], line, label=order)
axes.axhline(1, color="black", linewidth=0.8, label="Adam, DualOptim")
axes.set(
    xscale="log", xlabel="steps the base averages over, $1/(1-\\alpha_1)$", ylabel="variance of $u$ / Adam's"
)
axes.set_title(
    "Equal decays ($\\alpha_1=\\alpha_2=0.9$, at 10) double the noise; lower is better", loc="left"
)
_ = axes.legend()

# %% [markdown]
# The authors' configuration file says 0.99 for the base; every script they publish overrides it with 0.9, the doubled
# noise. The preset `authors` follows the scripts.
#
# ## Second moments below zero
#
# A second moment is a mean of squares, so it is never negative. A *sum* $v=\Delta+B$ of a fast residual and a slow
# base can be, wherever the base is out of date or the sides' squares differ much: it is a difference of large
# numbers. How often? 1000 coordinates, gradients with a mean and noise of 0.3; the forget side's are 1, 3 or 10 times
# as long; then equal ones that both become ten times shorter. A round has five retain steps here, as in the authors'
# experiments.


# %%
def negative_fraction(ratio, preset, shrink_at=None, rounds=60):
    """Return which fraction of second moments is negative in each round's retain steps, [rounds]."""
    generator = torch.Generator().manual_seed(1)
    p, found = torch.nn.Parameter(torch.zeros(1000)), []
    optimizer = DualOptimPlus([p], lr=1e-3, preset=preset)
    for t in range(rounds):
        scale = 0.1 if shrink_at is not None and t >= shrink_at else 1.0
        for side, mean in (("forget", -ratio), *(("retain", 1.0),) * 5):
            p.grad = scale * (mean + 0.3 * torch.randn(1000, generator=generator))
            optimizer.step(side=side)
        found.append(optimizer.diagnostics(lambda value: value)["negative_v/retain"].item())
    return found


# %%
shrunk = {preset: negative_fraction(1.0, preset, shrink_at=30) for preset in ("slides", "authors")}
axes = notebook_axes(3.2)
for preset, line in (("slides", "-"), ("authors", ":")):
    axes.plot(range(60), [100 * value for value in shrunk[preset]], line, label=f"preset {preset}")
axes.axvline(30, color="#777777", linewidth=0.8)
axes.annotate("gradients become\n10 times shorter", (30, 60), (8, 70), color="#555555")
axes.set(xlabel="round", ylabel="second moments below 0 (%)")
axes.set_title("A base that is out of date makes nearly all second moments negative", loc="left")
_ = axes.legend(loc="center left")

# %%
ten_to_one, equal = (
    {preset: sum(negative_fraction(ratio, preset)) / 60 for preset in ("slides", "authors")}
    for ratio in (10.0, 1.0)
)
assert equal["slides"] < 0.02 and 0.02 < ten_to_one["slides"] < 0.3 and 0.2 < ten_to_one["authors"] < 0.6
assert max(shrunk["slides"][40:]) > 0.9
print("equal sides, slow base: under 2 % of the retain side's second moments are negative")
print("forget gradients ten times as long: 2 to 30 % with the slow base, 20 to 60 % with the authors'")
print("after both became ten times shorter: soon over 90 % with the slow base")

# %% [markdown]
# What then? Three answers, by the longest step (in rates; a healthy Adam step is about 1) that 95 % of coordinates
# stay below:
#
# - take the **absolute value** (`negative="abs"`, the authors): where $v$ crosses zero the step is $u$ over nearly
#   nothing;
# - take **zero** (`negative="floor"`, no floor): the step is $u/\varepsilon$;
# - **floor** it at a tenth of the base's second moment (`v_floor=0.1`, the preset `slides` of the library): no step
#   can be longer than $u/\sqrt{0.1\,V_B}$, with $V_B$ the base's second moment ($B$ is its momentum).
#
# There is another way out: one plain second moment a side, $v_s$ = mean of $\hat g_s^2$, is never negative. It has a
# trap of its own. $u$ contains the base, and with it the *other* side's gradients. Where a side's own gradient is
# exactly zero (a dead unit, a pixel that is always black, a word that does not occur on that side), $v_s=0$ while
# $u\ne0$. So whatever divides $u$ must know of everything that $u$ is made of: the preset `measured` keeps $v_s$ at or
# above a tenth of a running mean of $\hat B^2$. The experiment below uses `slides`.


# %%
def longest_step(**settings):
    """Return the longest of 50 rounds' steps, in rates, that 95 % of 1000 coordinates stay below."""
    generator = torch.Generator().manual_seed(1)
    p, longest = torch.nn.Parameter(torch.zeros(1000).double()), torch.zeros(1000).double()
    optimizer = DualOptimPlus([p], lr=1.0, **settings)
    for _ in range(50):
        for side, mean in (("forget", -10.0), *(("retain", 1.0),) * 5):
            before = p.detach().clone()
            p.grad = mean + 0.3 * torch.randn(1000, generator=generator).double()
            optimizer.step(side=side)
            longest = longest.maximum((p.detach() - before).abs())
    return longest.quantile(0.95).item()


# %% tags=["nbval-ignore-output"]
guards = {
    "absolute value (`authors`)": {"preset": "authors"},
    "absolute value, base of `slides`": {"preset": "slides", "negative": "abs", "v_floor": 0.0},
    "zero": {"preset": "slides", "v_floor": 0.0},
    "floor 0.01": {"preset": "slides", "v_floor": 0.01},
    "floor 0.1 (`slides`)": {"preset": "slides"},
}
longest = {name: longest_step(**settings) for name, settings in guards.items()}
rows = ["| a negative second moment becomes | longest step, in rates |", "|:---|---:|"]
Markdown("\n".join([*rows, *(f"| {name} | {value:.3g} |" for name, value in longest.items())]))

# %%
assert longest["floor 0.1 (`slides`)"] < 6 < 15 < longest["absolute value (`authors`)"]
assert longest["zero"] > 1e4
print(
    "a floor keeps steps near the rate; absolute values allow tens of rates, and zero has no bound but 1/eps"
)

# %%
state, p, nothing = defaultdict(float), torch.nn.Parameter(torch.zeros(1000).double()), torch.zeros(1000)
optimizer, generator = DualOptimPlus([p], lr=1.0), torch.Generator().manual_seed(0)
steps = []
for _ in range(5):
    for side, g in (("retain", torch.randn(1000, generator=generator)), ("forget", nothing)):
        u = plus_(torch.zeros(1000).double(), g.double(), side, state, lr=0.0)
        before, p.grad = p.detach().clone(), g.double()
        optimizer.step(side=side)
    steps.append((p.detach() - before).abs().max().item())  # of the forget step
over_own = u.abs() / 1e-8  # the forget side's own second moment is 0, which leaves eps
assert over_own.quantile(0.05) > 1e4 > 10 > max(steps)
print("1000 coordinates whose forget gradient is always 0: over their own second moment, 0, the forget step")
print("is over 10 000 rates long for 95 % of them; under the preset `measured` less than 10 for all")

# %% [markdown]
# ## Bytes, and 8 bits
#
# Adam keeps 2 numbers a parameter, DualOptim 4, DualOptim+ 6 (base and two deltas of both moments): 24 bytes in fp32,
# where the weight itself takes 4. With `state_bits=8` states are kept in blocks of 256 numbers that share a scale
# (torchao); tensors under 4096 numbers stay as they are. Only a delta of squares can be negative; second moments are
# kept as roots, because 8 bits hold too few decades of squares.


# %%
def state_bytes(make, bits):
    """Return the bytes of state for each parameter of a matrix of 256 x 256, counters left out."""
    p = torch.nn.Parameter(torch.zeros(256, 256))
    optimizer = make([p], state_bits=bits)
    p.grad = torch.ones_like(p)
    optimizer.step(side="forget")
    return sum(s.numel() * s.element_size() for s in optimizer.state[p].values() if s.dim()) / p.numel()


kinds = {f"DualOptim+, {name}": partial(DualOptimPlus, preset=name) for name in ("measured", "slides")}
kinds["DualOptim, two Adams"] = partial(DualOptim, forget=torch.optim.Adam, retain=torch.optim.Adam)
rows = ["| bytes of state a parameter | 32 bits | 8 bits |", "|:---|---:|---:|"]
for name, make in kinds.items():
    rows.append(f"| {name} | {state_bytes(make, 32):.2f} | {state_bytes(make, 8):.2f} |")
Markdown("\n".join(rows))

# %% [markdown]
# How far do 8 bits lead astray? The world of tutorial 05: digits with some wrong labels, a random tenth to forget,
# random labels as forget loss.

# %%
from unlearnkit.testing.lesson import accuracy, digit_net, digits, fresh, train_net

data = digits(forget=0.1, noise=0.1)
target = train_net(digit_net(), data.train)


@cache
def batches(seed):
    """Return 40 rounds' batches of 64; the seed draws them, and the forget side's random labels."""
    drawn = torch.randint(10, (len(data.forget),), generator=torch.Generator().manual_seed(100 + seed))
    forget = torch.utils.data.TensorDataset(data.forget.tensors[0], drawn)
    both = PairedDatasets(forget, data.retain, batch_size=64, seed=seed)
    both.setup()
    return [both.batch(t) for t in range(40)]


# %%
def unlearned(make_optimizer, seed=0, rounds=40):
    model = WithCriterion(fresh(target))
    optimizer = make_optimizer(model.parameters())
    host = PlainHost(model, forget=NLL(), retain=NLL(), optimizer=optimizer)
    for batch in batches(seed)[:rounds]:
        Alternate().step(host, batch)
    return model.network


plus = partial(DualOptimPlus, lr=3e-4, preset="slides")
nets = (unlearned(partial(plus, state_bits=bits), rounds=25) for bits in (32, 8))
wide, narrow, start = (torch.nn.utils.parameters_to_vector(n.parameters()) for n in (*nets, target))
assert (wide - narrow).norm() < 0.02 * wide.norm() and (wide - narrow).norm() > 0.03 * (wide - start).norm()
print("50 steps with states of 8 bits: the parameters differ by less than 2 % of their length,")
print("but by more than 3 % of the way that they moved")

# %% [markdown]
# ## The experiment
#
# Alternate (one Adam), DualOptim (two Adams) and DualOptim+ in the two orders, the same three learning rates, 4
# seeds. As in tutorial 05, FA, RA and TA are the accuracies on the forget, retain and test set, and the **gap** is
# their mean absolute difference to retrained models: lower is better.

# %%
adam_at = lambda lr: partial(torch.optim.Adam, lr=lr)  # noqa: E731
METHODS = {
    "Alternate": adam_at,
    "DualOptim": lambda lr: partial(DualOptim, forget=adam_at(lr), retain=adam_at(lr)),
    "DualOptim+ (slides)": lambda lr: partial(DualOptimPlus, lr=lr, preset="slides"),
    "DualOptim+ (authors)": lambda lr: partial(DualOptimPlus, lr=lr, preset="authors"),
}
RATES, SEEDS = (1e-3, 3e-3, 6e-3), range(4)
retrained = [train_net(digit_net(seed), data.retain, seed=seed) for seed in (1, 2)]


def accuracies(net):
    return torch.tensor([100 * accuracy(net, part) for part in (data.forget, data.retain, data.test)])


# %% tags=["nbval-ignore-output"]
gaps, reference = {}, torch.stack([accuracies(net) for net in retrained]).mean(0)
rows = ["| method | rate | FA | RA | TA | gap (95 % interval) |", "|:---|---:|---:|---:|---:|---:|"]
rows.append("| retrained | | " + " | ".join(f"{value:.1f}" for value in reference) + " | 0 |")
for name, make in METHODS.items():
    for lr in RATES:
        found = torch.stack([accuracies(unlearned(make(lr), seed)) for seed in SEEDS])
        gap = gaps[name, lr] = (found - reference).abs().mean(1)
        values = " | ".join(f"{value:.1f}" for value in found.mean(0))
        rows.append(f"| {name} | {lr:g} | {values} | {gap.mean():.1f} ± {3.18 * gap.std() / 2:.1f} |")
Markdown("\n".join(rows))

# %%
best = {name: min(gaps[name, lr].mean().item() for lr in RATES) for name in METHODS}
assert best["DualOptim+ (slides)"] < best["Alternate"]
assert min(best["DualOptim+ (slides)"], best["DualOptim+ (authors)"]) > best["DualOptim"] - 0.3
print("at their best rates DualOptim+ is nearer to the retrained models than Alternate")
print("and no nearer than DualOptim: the order of the paper's tables does not appear here")

# %% [markdown]
# In this table both presets end farther from the reference than DualOptim (at their best rates 2.5 ± 1.6 and 2.8 ± 0.9
# against 1.1 ± 0.5) and suffer more from a high rate. With other splits, targets and seeds (measured apart) the sign of
# the difference between DualOptim+ and DualOptim changed; both stayed nearer than Alternate.
# This is a case for DualOptim by the paper's own argument: random labels and true
# labels want different things. The paper reports its gains for DualOptim+ on language models of 1.3 to 8 billion
# parameters.
#
# ## Relatives
#
# "Shared part plus own residual" is an old pattern. In the paper's equation (7) and its list:
#
# - DualOptim+: shared $B$, the mean over time of both sides' gradients; own $\Delta_s$, the mean over time of
#   $\hat g_s-B$; step along $\Delta_s+B$.
# - SVRG, equation (7): shared $\mu=\frac1N\sum_i\nabla f_i(\hat\theta)$ at a snapshot $\hat\theta$; own
#   $\nabla f_i(\theta)-\nabla f_i(\hat\theta)$, of the present sample $i$; step along their sum.
# - Federated momentum (FedCM): shared $\bar m$, the server's mean of all clients' moves; own gradient $g_i$ of the
#   present batch of client $i$; step along $\alpha g_i+(1-\alpha)\bar m$.
#
# The likeness has limits. SVRG's residual has mean zero over samples $i$, so its sum is an unbiased gradient of *one*
# loss with less noise. DualOptim+'s residual is itself a running mean, and lets its two sides end with *different*
# gradients; with equal decays its noise is more, not less. FedCM adds the shared direction to every step
# without taking it out of the residual, so all clients are pulled one way.
#
# ## What went wrong, what is not proven
#
# - **The slides define half of the method**: one moment, no bias correction, no step. Read literally, the first
#   update is a ninth of the gradient. The authors' code differs from the slides in the order, and has both moments.
# - **"$B\to0$" under opposed gradients** holds only for a slow base: an exact residue of $(1-\alpha_1)/(1+\alpha_1)$
#   stays.
# - **No theorem.** The variance theorem of tutorial 05 is for DualOptim with heavy-ball momentum.
# - **Second moments** need a guard, which the paper does not mention.
# - **Our experiment** is one small world with random labels, rates chosen on the outcome for all methods alike; 4
#   seeds. It says that the order DualOptim+ over DualOptim is not to be taken for granted, and no more.
#
# ## Summary
#
# - DualOptim+ steps along base plus delta. In the mean that is each side's own gradient, as with DualOptim; where the
#   sides agree the deltas vanish and both go on one momentum, as with Alternate.
# - The base must be slower than the deltas, or the noise doubles. Its second moments can be negative; floor them.
# - It keeps 24 bytes a parameter, 6.1 in 8 bits. On the digits it beats Alternate (best gaps 2.5
#   against 4.7) and does not beat DualOptim (1.1).
#
# ## Exercises
#
# **Exercise 1 (recall).** The retain gradient is always 0, the forget gradient always 1, one step each in turn. What
# are base, forget delta and retain delta in the long run, for a slow base?
#
# <details><summary>Answer</summary>Base 1/2, forget delta 1/2, retain delta −1/2: base and delta add up to 1 and
# 0.</details>
#
# **Exercise 2 (knob).** With five retain steps to one forget step, where does the base go for agreeing, orthogonal
# and opposed sides? Guess, then change `follow`.
#
# <details><summary>Answer</summary>The mean over steps: 1, 1/6, −4/6.</details>
#
# **Exercise 3 (code).** Write one step of the *lagged* order for the momentum: residual against the corrected base of
# before this gradient (0 in the very first step), base last. Return $u$, corrected.


# %%
def lagged_u(g, side, state, delta=0.9, base=0.99):
    """`state` is a defaultdict(float) with the keys "steps", "base", (side, "steps") and side."""
    ### BEGIN SOLUTION
    b = state["base"] / (1 - base ** state["steps"]) if state["steps"] else 0.0
    state[side, "steps"] += 1
    state[side] = delta * state[side] + (1 - delta) * (g - b)
    u = state[side] / (1 - delta ** state[side, "steps"]) + b
    state["steps"] += 1
    state["base"] = base * state["base"] + (1 - base) * g
    return u
    ### END SOLUTION


# %%
def first_updates(g_r):
    """Return u of the first four forget steps for constant gradients 1 and g_r."""
    state, found = defaultdict(float), []
    for _ in range(4):
        found.append(lagged_u(1.0, "forget", state))
        lagged_u(g_r, "retain", state)
    return torch.tensor(found)


agree, opposed = (first["lagged", world][:4].float() for world in ("agree", "opposed"))
check(
    first_updates,
    Case((1.0,), agree, "Agreeing sides: 1, then about 1.47. Is the base corrected?"),
    Case((-1.0,), opposed, "Opposed sides: each side counts its own steps."),
)

# %% [markdown]
# **Exercise 4 (open).** How should the base weigh the sides when a round has one forget step and five retain steps?
# As written it becomes mostly the retain side's. Try decays of $\alpha_1^{5}$ for forget steps, and measure the
# noise.
#
# ## References
#
# - Paper 002: C. Liu, *On the Stability of Multi-Objective Optimization in Machine Unlearning* (slides, 2026).
# - Johnson and Zhang, *Accelerating stochastic gradient descent using predictive variance reduction* (SVRG), 2013.
# - Xu et al., *FedCM: federated learning with client-level momentum*, 2021.
# - Dettmers et al., *8-bit optimizers via block-wise quantization*, 2022.
