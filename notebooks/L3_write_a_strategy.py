# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # L3  How do you write a strategy of your own?
#
# > **Time** under a minute to run, 60 minutes of work. **Hardware** any CPU.
# > **You need** PyTorch and dot products; tutorial 03 helps (what a strategy is for).
# > **Afterwards** you have written PCGrad as a strategy of unlearnkit, tested it by properties instead of examples,
# > found what a printed formula lacks, and trained with it.
# > **Paper** Yu et al. 2020 (PCGrad), algorithm 1; paper 001, eq. (5) and item 6 of its list of methods.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
from functools import partial

import torch
from IPython.display import Markdown
from lightning.pytorch import Trainer

from unlearnkit import NLL, AscentNLL, NGDiff, PairedDatasets, PCGrad, PlainHost, UnlearningModule
from unlearnkit.gradients import Gram, Weights, gram_matrix
from unlearnkit.plots import curves, method_styles, notebook_axes
from unlearnkit.strategies import GramStrategy
from unlearnkit.testing.exercise import Case, Holds, check

# %% [markdown]
# ## The picture: two gradients in conflict
#
# A **strategy** makes one update of two gradients: $g_r$ of the retain loss and $g_f$ of the forget loss. Both losses
# are to be *minimised*; where a method ascends on a loss $L_F$, its forget loss is $-L_F$ and $g_f=-\nabla L_F$. The
# parameters go along $-d$, and to first order a loss falls by $g\cdot d$ times the learning rate. The two
# **conflict** where $g_r\cdot g_f<0$.
#
# The sum $d=g_r+g_f$ can raise one of the losses: the one whose gradient is much shorter. PCGrad ("projecting
# conflicting gradients") takes out of each gradient the part that goes against the other one, and adds what is left.


# %%
g_r, g_f = torch.tensor([1.0, 0.2]), torch.tensor([-2.0, 1.0])
left_r, left_f = g_r - (g_r @ g_f) / (g_f @ g_f) * g_f, g_f - (g_r @ g_f) / (g_r @ g_r) * g_r
vectors = {"$g_r$": g_r, "$g_f$": g_f, "sum": g_r + g_f, "PCGrad": left_r + left_f}
axes, styles = notebook_axes(3.4), method_styles(vectors)
for name, tip in vectors.items():
    look = {"arrowstyle": "-|>", "color": styles[name].color, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tip.tolist(), (0, 0), arrowprops=look)
    axes.annotate(name, tip.tolist(), (5, 3), textcoords="offset points", color=styles[name].color)
axes.axline((0, 0), (-0.2, 1), color="#777777", linewidth=1, linestyle=":")
axes.annotate("right of this line\nthe retain loss falls", (0.35, 1.3), color="#555555")
axes.set(xlim=(-2.4, 1.9), ylim=(-0.2, 2.2), xlabel="first parameter", ylabel="second parameter")
axes.set_aspect("equal")
_ = axes.set_title("The sum goes against $g_r$, PCGrad's direction does not", loc="left")

# %%
assert g_r @ g_f < 0, "they conflict"
assert g_r @ (g_r + g_f) < 0 < g_f @ (g_r + g_f)
assert g_r @ (left_r + left_f) > 0 and g_f @ (left_r + left_f) > 0
print("along the sum the retain loss rises to first order; along PCGrad's direction both losses fall")

# %% [markdown]
# ## The rule
#
# $$g_r'=g_r-\frac{\min(0,\,g_r\cdot g_f)}{|g_f|^2}\,g_f,\qquad
# g_f'=g_f-\frac{\min(0,\,g_r\cdot g_f)}{|g_r|^2}\,g_r,\qquad d=g_r'+g_f'.$$
#
# Without conflict the minimum is 0, and $d$ is the plain sum.
#
# **Exercise 1 (recall).** Why is $g_f\cdot g_r'=0$ under conflict? And what is $d$ for $g_f=-2g_r$?
#
# <details><summary>Answer</summary>g_f · g_r' = g_f · g_r − (g_r · g_f)/|g_f|² · |g_f|² = 0: what was projected out
# is all that went along g_f. For exactly opposite gradients nothing is left of either: d = 0. No direction lowers
# both.</details>
#
# **Exercise 2 (code).** Write the rule for two flat vectors, from scratch.


# %%
def pcgrad(g_r, g_f):
    """Return the direction d, [n], of two gradients [n]."""
    ### BEGIN SOLUTION
    conflict = (g_r @ g_f).clamp_max(0.0)
    return g_r - conflict / (g_f @ g_f) * g_f + g_f - conflict / (g_r @ g_r) * g_r
    ### END SOLUTION


# %%
check(
    pcgrad,
    Case(
        (torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])),
        torch.tensor([2.0, 1.0]),
        "No conflict: the sum.",
    ),
    Case(
        (torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])),
        torch.tensor([0.5, 1.5]),
        "g_r' = (1/2, 1/2) and g_f' = (0, 1). Divide by the squared length of the *other* gradient.",
    ),
    Holds(lambda rule: torch.allclose(rule(g_r, -g_r), torch.zeros(2)), "Opposite gradients leave nothing."),
)

# %% [markdown]
# ## What a strategy is made of
#
# Models have many parameters, and a projection is not needed on them. Every $d$ above is a combination
# $d=w_r\,g_r+w_f\,g_f$, and the factors need three numbers only, the **Gram matrix**
#
# $$A=g_r\cdot g_r,\qquad B=g_f\cdot g_f,\qquad C=g_r\cdot g_f .$$
#
# A `GramStrategy` gets them as `gram.rr`, `gram.ff` and `gram.rf` (0-d tensors) and returns `Weights(retain,
# forget)`. The base class does the rest: two backward passes, the combination in place, one copy of a gradient, and
# the cases where a gradient vanishes, is not finite, or both cancel. The smallest strategy there is:


# %%
class Sum(GramStrategy):
    def weights(self, gram, losses):
        one = torch.ones_like(gram.rr)
        return Weights(retain=one, forget=one)


gram = gram_matrix([g_r], [g_f])
weights = Sum().weights(gram, {})
assert gram.retain_effect(weights) < 0 < gram.forget_effect(weights)
print("the Gram matrix also says how far each loss falls: along the sum the retain loss rises")

# %% [markdown]
# ## Test by properties
#
# An example tests one pair of gradients. A *property* is what must hold for all pairs;
# `unlearnkit.testing.properties` tries it on pairs that break careless formulas: nearly opposite ones, lengths ten
# decades apart, zeros.
#
# | assert | what it says of the rule $d(g_r,g_f)$ |
# |:---|:---|
# | `assert_non_conflicting` | $g_r\cdot d\ge0$ and $g_f\cdot d\ge0$: no loss rises to first order (paper 001, eq. 5) |
# | `assert_scaling(rule, 1)` | $d(sg_r,sg_f)=s\,d(g_r,g_f)$ |
# | `assert_permutation_invariant`, `assert_rotation_invariant` | the coordinates do not matter, only the Gram matrix |
# | `assert_symmetric` | the sides are treated alike |
# | `assert_ignores_lengths`, `assert_bounded` | only directions count; $d$ has a largest length |
# | `assert_edge_cases` | vanished and opposite gradients, held sides, in three number formats |
#
# `as_rule` makes such a rule of a strategy. Which of them does the sum have?

# %%
from unlearnkit.testing import properties

ASSERTS = {
    "non-conflicting": properties.assert_non_conflicting,
    "scaling": properties.assert_scaling,
    "permutation": properties.assert_permutation_invariant,
    "rotation": properties.assert_rotation_invariant,
    "symmetric": properties.assert_symmetric,
    "ignores lengths": properties.assert_ignores_lengths,
}


# %%
def has(strategy):
    """Return the names of the properties that a strategy has."""
    found = []
    for name, assert_property in ASSERTS.items():
        try:
            assert_property(properties.as_rule(strategy))
        except AssertionError:
            continue
        found.append(name)
    return found


print("the sum has:", ", ".join(has(Sum())))
print("NGDiff has:", ", ".join(has(NGDiff())))

# %% [markdown]
# The sum lacks the first one. That is the point of the lab.
#
# **Exercise 3 (code).** Write PCGrad's weights. (Collect the terms of $d$ above that multiply $g_r$, and those that
# multiply $g_f$; use `gram.rf.clamp_max(0.0)`, because the three numbers are tensors.) The check is the property
# asserts.


# %%
class MyPCGrad(GramStrategy):
    def weights(self, gram, losses):
        """Return w_r and w_f of d = w_r g_r + w_f g_f."""
        ### BEGIN SOLUTION
        conflict = gram.rf.clamp_max(0.0)
        return Weights(retain=1.0 - conflict / gram.rr, forget=1.0 - conflict / gram.ff)
        ### END SOLUTION


# %%
def same_as_from_scratch(strategy):
    for a, b in properties.mild_pairs(50):
        torch.testing.assert_close(properties.as_rule(strategy())(a, b), pcgrad(a, b))


def rule_of(assert_property):
    return lambda strategy: assert_property(properties.as_rule(strategy()))


# %%
check(
    MyPCGrad,
    Holds(same_as_from_scratch, "It is not the direction of exercise 2: which terms of d multiply g_r?"),
    Holds(rule_of(properties.assert_non_conflicting)),
    Holds(rule_of(properties.assert_scaling)),
    Holds(rule_of(properties.assert_permutation_invariant)),
    Holds(rule_of(properties.assert_rotation_invariant)),
    Holds(rule_of(properties.assert_symmetric)),
    Holds(lambda strategy: properties.assert_edge_cases(strategy, sizes=(3, 1000))),
)

# %% [markdown]
# ## The library's version
#
# `unlearnkit.PCGrad` must agree with yours, on hard pairs too.

# %%
mine, theirs = properties.as_rule(MyPCGrad()), properties.as_rule(PCGrad())
for a, b in properties.hard_pairs():
    torch.testing.assert_close(mine(a, b), theirs(a, b))
assert has(MyPCGrad()) == has(PCGrad())
print("the same direction; PCGrad has:", ", ".join(has(PCGrad())))

# %% [markdown]
# It does not ignore lengths. Of a gradient a thousand times as long as the other a thousandfold share is in $d$; what
# the projection guarantees is the sign, not the balance.
#
# ## A printed formula
#
# Paper 001 (item 6) lists PCGrad as $c/(1-c)=1+g_F\cdot g_R/|g_R|^2$. In our signs ($g_f=-g_F$) that is
#
# $$w_r=1-\frac{C}{A},\qquad w_f=1 .$$
#
# Two things are missing against algorithm 1 of Yu et al.: only the forget gradient is projected (*one-sided*), and
# there is no $\min(0,\cdot)$. What does that do?


# %%
class AsPrinted(GramStrategy):
    def weights(self, gram, losses):
        return Weights(retain=1.0 - gram.rf / gram.rr, forget=torch.ones_like(gram.rr))


# %%
cosines, one = torch.linspace(-1, 1, 200, dtype=torch.float64), torch.ones((), dtype=torch.float64)
axes = notebook_axes(3.4)
for name, rule, line in (("as printed", AsPrinted(), "-"), ("PCGrad (Yu et al.)", PCGrad(), "--")):
    found = [rule.weights(Gram(rr=one, ff=9 * one, rf=3 * cosine), {}).retain for cosine in cosines]
    axes.plot(cosines, found, line, label=name)
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="cosine between $g_r$ and $g_f$ (below 0: conflict)", ylabel="retain weight $w_r$")
axes.set_title("As printed, $w_r$ falls below 0 where the sides agree ($|g_f|=3|g_r|$)", loc="left")
_ = axes.legend()

# %% [markdown]
# **Exercise 4 (knob).** For which lengths $|g_f|/|g_r|$ can the printed weight become negative at all? Change the 3.
#
# <details><summary>Answer</summary>w_r = 1 − (|g_f|/|g_r|) cos: it needs a ratio above 1.</details>
#
# Compute what each loss falls by. Retain: $g_r\cdot d=w_rA+C=A-C+C=A$, whatever the cosine. Where the sides agree
# ($C>0$), the plain sum gives $A+C$: the printed form throws the help away that the forget gradient would have given,
# and for $C>A$ even ascends on its own gradient. (In the paper's words, $g_F$ and $g_R$ are then strongly opposed.)
# Forget: $g_f\cdot d=B(1-\cos^2)+C$, which is negative under strong conflict: one-sided projection protects the
# retain side only.

# %%
agree = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([2.4, 1.8])])  # |g_f| = 3, cosine .8
printed, whole = AsPrinted().weights(agree, {}), PCGrad().weights(agree, {})
assert printed.retain < 0 and abs(agree.retain_effect(printed) - agree.rr) < 1e-6
assert abs(agree.retain_effect(whole) - (agree.rr + agree.rf)) < 1e-6
print(
    "sides that agree: as printed the retain weight is negative, and the retain loss falls by A, not by A + C"
)
against = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([-0.8, 0.6])])  # |g_f| = 1, cosine -.8
for strategy in (AsPrinted(), PCGrad(symmetric=False)):
    assert against.forget_effect(strategy.weights(against, {})) < 0
assert against.forget_effect(PCGrad().weights(against, {})) > 0
assert "non-conflicting" not in has(AsPrinted()) + has(PCGrad(symmetric=False))
print("sides in conflict: every one-sided form can raise the forget loss; the symmetric one cannot")

# %% [markdown]
# `PCGrad(symmetric=False)` is the one-sided form with its minimum.
#
# ## A round, and a training
#
# A strategy asks a *host* for losses and gradients. `PlainHost` is one in plain torch. We make a network that has
# learned ten digits forget the digit 3: cross-entropy is ascended on the threes (`AscentNLL`) and descended on the
# rest (`NLL`).

# %%
from unlearnkit.models import WithCriterion
from unlearnkit.testing.lesson import accuracy, digit_net, digits, fresh, train_net

data = digits(forget=3, noise=0.0)
target = train_net(digit_net(), data.train, epochs=15)
threes = data.test.tensors[1] == 3
test_threes, test_others = (
    torch.utils.data.TensorDataset(*(tensor[rows] for tensor in data.test.tensors))
    for rows in (threes, ~threes)
)
adam = partial(torch.optim.Adam, lr=1e-3)


# %%
def unlearned(strategy, seed=0, rounds=40):
    """Return the network, the test accuracy on other digits after each 5 rounds, and the cosines."""
    both = PairedDatasets(data.forget, data.retain, batch_size=64, seed=seed)
    both.setup()
    model = WithCriterion(fresh(target))
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=adam(model.parameters()))
    others, cosines = [accuracy(model.network, test_others)], []
    for t in range(rounds):
        report = strategy.step(host, both.batch(t))
        cosines.append(report.gram.cosine.item() if report.gram is not None else 0.0)
        if (t + 1) % 5 == 0:
            others.append(accuracy(model.network, test_others))
    return model.network, others, cosines


# %% [markdown]
# The same in a Lightning `Trainer`: the module takes the strategy, one step is one round. Both hosts must do the
# same.

# %%
both = PairedDatasets(data.forget, data.retain, batch_size=64, seed=0)
module = UnlearningModule(WithCriterion(fresh(target)), strategy=MyPCGrad(), optimizer=adam)
Trainer(max_steps=10, max_epochs=-1, **notebook.trainer).fit(module, datamodule=both)
plain, _, _ = unlearned(MyPCGrad(), rounds=10)
torch.testing.assert_close(list(module.model.network.parameters()), list(plain.parameters()))
print("ten rounds in a Trainer and in plain torch: the same parameters")

# %% [markdown]
# ## The experiment
#
# Does it help? Five strategies, 40 rounds, 3 seeds (of the batches), one learning rate that is high on purpose: the
# threes are forgotten within ten rounds, and then $-L_F$ goes on asking for more.

# %%
STRATEGIES = {
    "sum": Sum,
    "PCGrad, mine": MyPCGrad,
    "PCGrad, one-sided": lambda: PCGrad(symmetric=False),
    "PCGrad, as printed": AsPrinted,
    "NGDiff": NGDiff,
}
runs = {name: [unlearned(make(), seed) for seed in range(3)] for name, make in STRATEGIES.items()}
forgotten = {name: [accuracy(run[0], test_threes) for run in found] for name, found in runs.items()}

# %%
others = {name: torch.tensor([run[1] for run in found]) for name, found in runs.items()}  # [seeds, 9]
means = {name: found.mean(0).tolist() for name, found in others.items()}
axes = curves(range(0, 41, 5), means, ylabel="test accuracy, other digits", better="up")
_ = axes.set_title("The sum ruins the other digits (mean of 3 seeds)", loc="left")

# %% tags=["nbval-ignore-output"]
half = 4.30 / 3**0.5  # Student's t for 3 values, over the root of 3: times std, half a 95 % interval
rows = ["| strategy | test accuracy on threes | on the other digits (95 % interval) |", "|:---|---:|---:|"]
for name, found in others.items():
    last = found[:, -1]
    on_threes = sum(forgotten[name]) / 3
    rows.append(f"| {name} | {on_threes:.2f} | {last.mean():.2f} ± {half * last.std():.2f} |")
Markdown("\n".join(rows))

# %%
cosines = torch.tensor([run[2] for run in runs["PCGrad, mine"]]).mean(0)
axes = notebook_axes(3.0)
axes.plot(range(1, 41), cosines, color="#0072B2")
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="round", ylabel="cosine between $g_r$ and $g_f$", ylim=(-0.8, 0.2))
_ = axes.set_title("The conflict grows as forgetting goes on (PCGrad, mean of 3 seeds)", loc="left")

# %%
last = {name: found[:, -1].mean().item() for name, found in others.items()}
assert max(max(found) for found in forgotten.values()) < 0.1, "all of them forget"
assert last["sum"] + 0.2 < last["PCGrad, mine"] < last["NGDiff"] - 0.03
assert abs(last["PCGrad, one-sided"] - last["PCGrad, mine"]) < 0.15
assert cosines[-10:].mean() < -0.25
print("all five forget the threes; of the other digits PCGrad keeps far more than the sum, NGDiff most")
print("one-sided or symmetric makes little difference here")

# %% [markdown]
# ("As printed" and one-sided lie on one another: they differ only where the sides agree, which is rare here.)
#
# PCGrad saves what the sum ruins, because the sides do conflict. NGDiff does better still, because it also cares for
# the lengths: the ascended loss has ever longer gradients, and PCGrad hands them on.
#
# ## What went wrong, what is not proven
#
# - **First order, before the optimizer.** The property speaks of $d$. Adam then divides each coordinate by its own
#   second moment, and for that update no sign is guaranteed (tutorial 03 measures it).
# - **One learning rate, one data set, 3 seeds.** The ordering above is what this world shows at this rate, not a
#   ranking.
# - **Stopping.** A gradual decay of what is kept, in round 40, is also a sign that one should have stopped at round
#   10.
# - **Exactly opposite gradients** leave PCGrad nothing; the library skips such a round and counts it.
#
# ## Summary
#
# - A strategy that needs inner products only is one method, `weights(gram, losses)`; the base class runs the round.
# - Properties test it for all gradients at once, and say in words what is wrong.
# - PCGrad as printed in paper 001 is one-sided and lacks the minimum: it wastes agreement, and it does not protect
#   the forget side.
#
# **Exercise 5 (open).** GradVaccine projects already where the cosine is below a running mean $\phi$ of itself
# (`unlearnkit.GradVaccine`). Write it from `MyPCGrad`: `phi` must be a buffer (`register_buffer`), and is changed in
# `learn(gram, losses)`, which is called only in rounds that step. Which of the properties can it not have any more?
#
# ## References
#
# - Yu et al., *Gradient surgery for multi-task learning*, 2020. Wang et al., *Gradient vaccine*, 2021.
# - Paper 001: *Unlearning as Multi-Task Optimization: A Normalized Gradient Difference Approach with Adaptive
#   Learning Rate*.
