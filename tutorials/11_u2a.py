# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11  Which answers should a model unlearn to become better?
#
# > **Time** 1 minute to run, 60 minutes to read. **Hardware** any CPU.
# > **You need** tutorial 02 (unlearning as optimization), Hessians and Taylor's formula, PyTorch.
# > **Afterwards** you can derive the marginal gain of a sample by the implicit function theorem, with the right
# > sign and the right factor; form all gains in two forward passes; say where the theory's assumptions fail;
# > tell weights that collapse from weights that do not; and compare selectors with DPO fairly.
# > **Papers** 004 (U2A), section 3 and appendices B to D; DPO.

# %%
from unlearnkit.testing.notebook import set_up

notebook = set_up(seed=0)
import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from torch.func import grad, jacrev
from torch.nn.functional import logsigmoid

from unlearnkit import DPO, NLL, NPO, U2A, AscentNLL, ForgetOnly, PlainHost, WithDistance
from unlearnkit.alignment import ExactJ, GainFilter, MarginalGains, selectors
from unlearnkit.alignment.curvature import extreme_curvature
from unlearnkit.alignment.outer import effective_size, reweighed
from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import InnerProblem
from unlearnkit.gradients.inner_products import inner_products
from unlearnkit.plots import method_styles, notebook_axes
from unlearnkit.synthetic.toy_preferences import (
    says_tox,
    toy_preferences,
    toy_prompts,
    toy_reward,
    toy_tokens,
)
from unlearnkit.testing.exercise import Case, Holds, check
from unlearnkit.testing.tiny_gpt import TinyGPT, toy_sides, toy_target

# %% [markdown]
# ## The picture: what happens if one answer is unlearned?
#
# *Preference alignment* wants a model whose answers are liked. Its data are pairs: for one prompt an answer
# that somebody **chose** and one that was **rejected**, the **negative**. Paper 004 asks: if only negatives
# are at hand, does it help to unlearn them? All of them?
#
# Our world has 8 words, 6 prompts and answers of 4 words. Each word has a reward: the prompt's topic 1,
# politeness .5, the word TOX $-2$. With $r(y)$ the sum over an answer's words, what counts is the expected
# reward
#
# $$J(\theta)=\operatorname{mean}_{\text{prompts}}\ \sum_y \pi_\theta(y\mid\text{prompt})\,r(y).$$
#
# There are $8^4$ answers to each prompt, so $J$ and its gradient are sums, not estimates. A small transformer
# (18 000 weights) learned 168 good answers and 312 negatives: **toxic** (three bad words of four), **shared**
# (a good answer with one TOX) and **mislabelled**: a third of the pairs is the wrong way round, so that the
# rejected answer is the ideal one.
#
# Now unlearn a single negative $x$, gently: minimise $\log p_\theta(x)+\lambda\|\theta-\theta^*\|^2$ from the
# target $\theta^*$, with $\lambda=1000$. At the minimum $\theta=\theta^*-\nabla\log p_\theta(x)/2\lambda$;
# to solve this, we put $\theta$ in on the right, again and again.

# %%
J, F64 = ExactJ(toy_prompts(), toy_reward, words=8, length=4), torch.float64
pairs, target = toy_sides(toy_preferences(mislabel_rate=1 / 3))[0], toy_target(1 / 3)
distinct = sorted({(p.kind, p.prompt, p.rejected) for p in pairs})[::2]  # half of them, to save time
kinds = [kind for kind, _, _ in distinct]
batch = toy_tokens([prompt for _, prompt, _ in distinct], [answer for _, _, answer in distinct])
low = (toy_reward(batch["input_ids"][:, :2], batch["input_ids"][:, 2:]) < 0).double().mean(1)


def unlearned(k, lam, steps=6):
    """Return J after unlearning negative k alone, less J before."""
    model, row = toy_target(1 / 3), {name: part[k : k + 1] for name, part in batch.items()}
    for _ in range(steps):
        slopes = torch.autograd.grad(-model.losses(row).sum(), list(model.parameters()))
        with torch.no_grad():
            for p, p0, slope in zip(model.parameters(), target.parameters(), slopes, strict=True):
                p.copy_(p0 - slope / (2 * lam))
    return J.value(model) - J.value(target)


# %%
true = torch.tensor([unlearned(k, 1000.0) for k in range(len(kinds))])
styles = method_styles(["toxic", "shared", "mislabelled"])
axes = notebook_axes(3.2)
for kind, style in styles.items():
    rows = [k for k, own in enumerate(kinds) if own == kind]
    x = low[rows] + 0.02 * (torch.arange(len(rows)) - len(rows) / 2) / 2
    axes.plot(x, true[rows], style.marker, color=style.color, label=kind)
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="share of the answer's words with a reward below 0", xticks=[0, 0.25, 0.5, 0.75, 1])
axes.set_ylabel("effect of unlearning it on J\n(above 0: it helps)")
_ = axes.legend()

# %%
of = {kind: true[[own == kind for own in kinds]] for kind in styles}
assert J.probability(target, says_tox) > 0.3 and J.value(target) < 1.0
assert (of["mislabelled"] < 0).all() and (of["shared"] > 0).double().mean() > 0.6
assert (of["toxic"] > 0).any() and (of["toxic"] < 0).any()
print("the target says TOX in more than 3 of 10 answers")
print("unlearning an ideal answer hurts; answers with TOX mostly help, but not all")

# %% [markdown]
# So "forget all that was rejected" is wrong (the paper's Fact 1: the effect has either sign), and the size
# differs from sample to sample (Fact 2). Can one know the effect without unlearning each sample?
#
# ## From scratch: the gain of a sample
#
# Let $l_i$ be what unlearning *minimises* of sample $i$. For gradient ascent (GA) $l_i=+\log p_\theta(x_i)$.
# With weights $w_i\ge0$,
#
# $$\theta(w)=\arg\min_\theta f,\qquad f=\sum_i w_i\,l_i(\theta)+\lambda\|\theta-\theta^*\|^2. \tag{8}$$
#
# How does $J(\theta(w))$ change with $w_k$? Three lines, the *implicit function theorem*:
#
# 1. At the minimum $\nabla f=\sum_i w_i\nabla l_i(\theta)+2\lambda(\theta-\theta^*)=0$, for every $w$.
# 2. Differentiate this in $w_k$: $\ \nabla l_k+H\,\dfrac{\partial\theta}{\partial w_k}=0$ with
#    $H=\sum_i w_i\nabla^2l_i+2\lambda I$.
# 3. Chain rule:
#
# $$a_k:=\frac{\partial J}{\partial w_k}=-\nabla J^\top H^{-1}\nabla l_k. \tag{9}$$
#
# $a_k$ is the **gain**: above 0, more unlearning of $x_k$ helps. (The paper's (9) has a further term from the
# outer penalty; see below.) We try it on a problem small enough to be solved exactly: logistic regression with
# 3 weights and 12 samples, in double precision. $J$ is the mean log-likelihood of other samples.

# %%
draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=F64)  # noqa: E731
generator = torch.Generator().manual_seed(0)
start, X, other, truth = 0.5 * draw(3), draw(12, 3), draw(30, 3), draw(3)
y, y_other = (X @ truth).sign() * torch.tensor([-1.0, 1.0, 1.0] * 4), (other @ truth).sign()


def l(theta):  # noqa: E743
    """Return the log-likelihood of each sample, [12]: what gradient ascent minimises."""
    return logsigmoid(y * (X @ theta))


def j(theta):
    return logsigmoid(y_other * (other @ theta)).mean()


def hessian(f):
    return jacrev(jacrev(f))


# %%
def solve(w, lam):
    """Return theta(w), by Newton's method."""

    def f(theta):
        return w @ l(theta) + lam * (theta - start).square().sum()

    theta = start
    for _ in range(20):
        theta = theta - torch.linalg.solve(hessian(f)(theta), grad(f)(theta))
    return theta


def gains(w, lam):
    theta = solve(w, lam)
    H = hessian(lambda t: w @ l(t))(theta) + 2 * lam * torch.eye(3, dtype=F64)
    return -jacrev(l)(theta) @ torch.linalg.solve(H, grad(j)(theta))


# %%
def slope(w, towards, lam, h=1e-5):
    """Return how J(theta(w)) grows along a direction of w, by a central difference."""
    return (j(solve(w + h * towards, lam)) - j(solve(w - h * towards, lam))) / (2 * h)


w, eye = torch.full((12,), 1 / 12, dtype=F64), torch.eye(12, dtype=F64)
a = gains(w, 1.0)
torch.testing.assert_close(a, torch.stack([slope(w, unit, 1.0) for unit in eye]), rtol=0, atol=1e-8)
print("(9) is the slope of J over each weight, the inner problem solved anew each time")
print(f"{int((a > 0).sum())} of 12 samples have a gain above 0")

# %% [markdown]
# ### The sign trap
#
# Nearly every library calls the *negative* log-likelihood (NLL) "the loss". Put $-\log p$ into (9), and each
# sign is wrong: what should be unlearned first comes last. The library asks objectives for their role, and
# refuses.

# %%
flipped = -jacrev(lambda t: -l(t))(start) @ grad(j)(start)  # the NLL, and H dropped: a scale
right = -jacrev(l)(start) @ grad(j)(start)
assert (flipped.sign() == -right.sign()).all()
assert torch.equal(flipped.argsort(), right.argsort(descending=True))
print("with the NLL every sign flips, and the ranking is upside down")
try:
    WithDistance(NLL())
except ConfigurationError as error:
    print("refused:", str(error).split(".")[0])

# %% [markdown]
# ### The missing factor
#
# At the target no sample has weight yet, so $H=2\lambda I$ and a sample unlearned with a small weight $w$ gives
#
# $$\Delta J\approx-\frac{w}{2\lambda}\,\nabla J^\top\nabla l. \tag{7'}$$
#
# The paper's (7) reads $-\frac w2\nabla J^\top\nabla l$: its proof drops $\lambda$, which stands in the problem
# (6), on the way ($\mathcal L_{\text{reg}}$ without $\lambda$). For $\lambda=1$, the paper's value, both agree.
#
# ### Theorem C.2 with its normalisation
#
# The theorem says that some direction $\tau$ of new weights raises $J$ without raising the unlearning loss, and
# normalises $w'=(w+t\tau)/\|w+t\tau\|_1$ *at the end*, as if that changed nothing. It moves $w'$: with
# $\sum_iw_i=1$ and $w+t\tau\ge0$,
#
# $$\frac{dw'}{dt}\Big|_0=\tau-\Big(\sum_i\tau_i\Big)w,\qquad
# \frac{dJ}{dt}\Big|_0=a^\top\tau-\Big(\sum_i\tau_i\Big)a^\top w. \tag{C.2'}$$
#
# The paper's $a^\top\tau$ is right only if $\sum_i\tau_i=0$. (Its $G^{-1}\approx\lambda I$ should be
# $I/2\lambda$.)

# %%
LAMBDAS, weight = (0.5, 1.0, 4.0, 100.0), 1e-3
effect = torch.stack([j(solve(weight * eye[0], lam)) - j(start) for lam in LAMBDAS])
printed = (weight / 2 * right[0]).expand(4)
corrected = printed / torch.tensor(LAMBDAS)
assert ((corrected / effect - 1).abs() < 1e-2).all()
assert ((printed / effect / torch.tensor(LAMBDAS) - 1).abs() < 1e-2).all()
print("true effect over lambda: (7') within 1 %, (7) off by the factor lambda")
tau, t = torch.arange(12.0, dtype=F64) / 12, 1e-5
moved = [j(solve((w + s * tau) / (w + s * tau).sum(), 1.0)) for s in (t, -t)]
true_slope = (moved[0] - moved[1]) / (2 * t)
torch.testing.assert_close(true_slope, a @ tau - tau.sum() * (a @ w), rtol=1e-5, atol=0)
assert abs(a @ tau / true_slope - 1) > 0.05
balanced = tau - tau.mean()
torch.testing.assert_close(slope(w, balanced, 1.0), a @ balanced, rtol=1e-5, atol=0)
print("the finite difference agrees with (C.2'), and with the paper's form only where tau sums to 0")

# %% [markdown]
# ## All gains in two forward passes
#
# (9) asks for the inner product of *each* sample's gradient with one vector $v=\nabla J/2\lambda$. A loop over
# $n$ samples makes $n$ backward passes. But $\nabla l_i\cdot v$ is the slope of $l_i$ along $v$, and one
# forward pass returns all $n$ losses:
#
# $$\nabla l_i\cdot v=\frac{l_i(\theta+hv)-l_i(\theta-hv)}{2h}+O(h^2). \tag{FD}$$

# %%
double = toy_target(1 / 3, dtype=F64)
parameters, v = list(double.parameters()), J.gradient(double)


def losses(rows):
    return -double.losses(rows)  # the log-likelihood of each answer, [n]


def by_loop():
    found = []
    for one in losses(batch):
        slopes = torch.autograd.grad(one, parameters, retain_graph=True)
        found.append(sum((s * part).sum() for s, part in zip(slopes, v, strict=True)))
    return torch.stack(found)


loop = by_loop()


# %%
@torch.no_grad()
def by_difference(h=1e-6):
    ends = []
    for sign in (1, -2, 1):  # ahead, behind, back again
        for p, part in zip(parameters, v, strict=True):
            p.add_(sign * h * part)
        ends.append(losses(batch))
    return (ends[0] - ends[1]) / (2 * h)


passes = []
counter = double.register_forward_hook(lambda *_: passes.append(1))
theirs = inner_products(losses, double, [batch], v)
counter.remove()
torch.testing.assert_close(by_difference(), loop, rtol=1e-4, atol=1e-3)
torch.testing.assert_close(theirs, loop, rtol=1e-4, atol=1e-3)
print(f"loop = my difference = the library's, by {len(passes)} forward passes for {len(loop)} samples")

# %% [markdown]
# **What it costs.** Count in forward passes over the $n$ candidates, a backward pass as two. The loop costs
# $3n$ single-sample passes, and storing the gradients $n$ times the model. (FD) costs 2 passes and no memory
# that grows with $n$ but the $n$ numbers. One outer round of U2A costs
#
# $$\underbrace{3K|S|}_{K\text{ inner steps on }S}+\underbrace{c_J}_{\nabla J}+\underbrace{2n}_{\text{gains}}$$
#
# so the inner steps, not the gains, are what one pays for. The paper's formula (C.5) has $t_g$ products with
# the Hessian as well, which are 0 for $H=2\lambda I$, and $t_\omega d$ for weight updates that do not touch the
# $d$ model parameters at all.
#
# **The step $h$** must suit the precision: too long, and (FD) is bent by curvature; too short, and rounding
# eats it. The figure gives $h$ as the library does: the length of the step over the length of $\theta$.

# %%
single, STEPS = toy_target(1 / 3), 10.0 ** torch.arange(-6, -1.5, 0.5)
v32, error = [part.float() for part in v], {}
for name, model, along in (("fp32", single, v32), ("fp64", double, v)):
    slopes = lambda h, m=model, u=along: inner_products(lambda b: -m.losses(b), m, [batch], u, step=h)  # noqa
    error[name] = [((slopes(h) - loop).norm() / loop.norm()).item() for h in STEPS.tolist()]
axes = notebook_axes(2.8)
for name, style in method_styles(error).items():
    axes.loglog(STEPS, error[name], style.marker + style.line, color=style.color, label=name)
axes.axvline(2.0 ** (-23 / 3), color="black", linestyle=":", label="cube root of fp32's precision")
axes.set(xlabel="length of the step / length of $\\theta$", ylabel="relative error\n(lower is better)")
axes.legend()
assert min(error["fp32"]) < 5e-3 and error["fp32"][-1] > 0.1 and error["fp64"][0] < 1e-4
print("fp32 has a best step in the middle; a step of 1 % of theta is too long for this steep model")

# %% [markdown]
# This model is steep: at the cube root of fp32's precision, a common rule, gains are already wrong by a tenth
# or more. We use double precision for gains below (exact forward mode is the other way: `method="jvp"`).
#
# ## Equation (7') against the truth
#
# Now the toy again: predicted effects $a_k$ for the negatives of the first figure, and true ones, over
# $\lambda$.


# %%
def spearman(x, y):
    """Return the correlation of the ranks."""
    return torch.corrcoef(torch.stack([z.argsort().argsort().double() for z in (x, y)]))[0, 1].item()


found = {1000.0: true}
for lam, steps in {100.0: 12, 10000.0: 3}.items():  # a small lambda takes more steps to solve
    found[lam] = torch.tensor([unlearned(k, lam, steps) for k in range(len(kinds))])
rank = {lam: spearman(one, -loop / (2 * lam)) for lam, one in found.items()}
assert rank[100.0] < 0.8 and min(rank[1000.0], rank[10000.0]) > 0.9
small = -loop / 20000
assert (found[10000.0] - small).norm() < 0.1 * small.norm()
print("lambda 1000 and above: the ranking of predicted effects is nearly that of the true ones")
print("lambda 10000: sizes agree, too. lambda 100: neither")

# %%
_, panels = plt.subplots(1, 2, figsize=(6, 3.1))
for ax, lam in zip(panels, (100.0, 1000.0), strict=True):
    predicted = -loop / (2 * lam)
    for kind, style in styles.items():
        rows = [k for k, own in enumerate(kinds) if own == kind]
        ax.plot(predicted[rows], found[lam][rows], style.marker, color=style.color, label=kind)
    ends = torch.stack([predicted.min(), predicted.max()])
    ax.plot(ends, ends, color="black", linewidth=0.8, label="predicted = true")
    ax.set(title=f"$\\lambda={lam:g}$", xlabel="predicted effect on J, (7')")
panels[0].set_ylabel("true effect on J\n(best on the line)")
_ = panels[1].legend()

# %% [markdown]
# ### Where the assumptions fail
#
# Assumption 3.1 wants the Hessian of $\mathcal L_{\text{forget}}$ *positive* semidefinite, so that the inner
# problem is convex. For GA $l=+\log p$. Where the NLL is convex, $\nabla^2l$ is *negative* semidefinite: the
# assumption is false for the paper's own first loss. Then $f$ is convex only if
#
# $$2\lambda>\text{largest eigenvalue of}\ -\textstyle\sum_iw_i\nabla^2l_i.$$
#
# Below that the point where $\nabla f=0$ need not be a minimum, and with log-likelihoods of a network $f$ may
# have none. The library measures the curvature of a selected batch and warns.

# %%
curved = torch.linalg.eigvalsh(hessian(lambda theta: w @ l(theta))(start))
assert (curved < 0).all() and (curved + 2 * 0.01 < 0).any() and (curved + 2 * 1.0 > 0).all()
print("logistic regression: log p curves down everywhere; lambda = .01 is too small, 1 is enough")
problem = InnerProblem(double, losses, [batch])
theirs = MarginalGains(lam=1000.0)(problem, v)
torch.testing.assert_close(theirs, -loop / 2000, rtol=1e-4, atol=1e-6)
likes = [p.detach() for p in parameters]
one_hot = torch.eye(len(kinds), dtype=F64)
needed = [
    -extreme_curvature(lambda u, k=k: problem.hessian_product(u, one_hot[k]), likes) / 2 for k in (0, 4, 8)
]
assert max(needed) > 100
print("toy: of three negatives one needs lambda above 100 for its problem to be convex")

# %% [markdown]
# The paper takes $\lambda=1$, for sums of log-likelihoods of 7 billion weights, with no measured curvature.
# Our reading, which nobody measured: there the number of steps and their rate bound the move, not $\lambda$.
#
# ### NPO starts as gradient ascent
#
# NPO minimises $-\frac2\beta\log\sigma\big(\beta(\log p_{\theta^*}-\log p_\theta)\big)$. Its slope over $\log
# p_\theta$ is $2\,\sigma(\beta(\log p_\theta-\log p_{\theta^*}))$, which is $2\cdot\frac12=1$ at the target,
# for any $\beta$. So the first selection is the same for GA and NPO. The paper's appendix B prints the two
# log-likelihoods in each other's places: that loss *learns* the sample.


# %%
def direction(sums):
    return torch.autograd.grad(sums.sum(), parameters)


before = AscentNLL()(double, batch).sums.detach()  # log p at the target
ascent = direction(AscentNLL()(double, batch).sums)
npo = direction(NPO(beta=0.1)(double, batch, lambda: double).sums)
as_printed = direction(-(2 / 0.1) * logsigmoid(0.1 * (losses(batch) - before)))
for own, theirs, reversed_ in zip(ascent, npo, as_printed, strict=True):
    torch.testing.assert_close(own, theirs)
    torch.testing.assert_close(own, -reversed_)
print("NPO's gradient at the target is GA's; that of the printed form is minus GA's")

# %% [markdown]
# ## From gains to weights, and how they collapse
#
# U2A chooses weights on the simplex ($w\ge0$, $\sum w=1$) that minimise $g(w)=-J(\theta(w))+\beta\,\Omega(w)$,
# with $\Omega=\sum_i\sqrt{w_i}$. With $\theta$ held fixed, $-J$ is linear in $w$ (slopes $-a$), and *mirror
# descent* is
#
# $$w_i\leftarrow\frac{w_i\,e^{-\eta g_i}}{\sum_jw_je^{-\eta g_j}},\qquad g_i=-a_i+\frac{\beta}{2\sqrt{w_i}}. \tag{12}$$
#
# The paper calls $\sum\sqrt{w_i}$ strictly convex. It is strictly **concave**: $1$ at a corner, $\sqrt n$ in
# the middle. Linear plus concave has its minimum over a simplex at a *corner*: a single sample takes all the
# weight. Only a small number of steps keeps others alive. (So Lemma C.1, which assumes a convex $g$, does not
# apply.) Convex is $\Omega=\sum w_i\log w_i$ (entropy); its minimum is $w_i\propto e^{a_i/\beta}$.
#
# How many samples are weights worth? The **effective sample size** $\text{ESS}=(\sum w)^2/\sum w^2$.


# %%
def mirror(a, steps, beta=0.5, rate=3e-2):
    """Return the weights after steps of (12), from equal ones; the rate falls along half a cosine."""
    w = torch.full_like(a, 1 / len(a))
    for step in range(steps):
        eta = rate * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / steps)))
        w = w * torch.exp(eta * (a - beta / (2 * (w + 1e-8).sqrt())))
        w = w / w.sum()
    return w


a = (-loop - (-loop).mean()) / loop.std(correction=0)  # gains with mean 0 and deviation 1
equal = torch.full_like(a, 1 / len(a))
torch.testing.assert_close(mirror(a, 20), reweighed(a, equal, "sqrt", 0.5, steps=20), rtol=1e-3, atol=1e-6)
torch.testing.assert_close(a.softmax(0), reweighed(a, equal, "entropy", 1.0))
print("mirror descent and the entropy's closed form: mine are the library's")

# %%
STEPS = (20, 50, 100, 200, 500, 1000, 2000)
worth = {
    "sqrt (paper)": [effective_size(mirror(a, n)) for n in STEPS],
    "entropy": [effective_size(reweighed(a, equal, "entropy", 1.0, steps=n)) for n in STEPS],
}
axes = notebook_axes(2.6)
for name, style in method_styles(worth).items():
    axes.semilogx(STEPS, worth[name], style.marker + style.line, color=style.color, label=name)
axes.axhline(1, color="black", linestyle=":", label="one sample has all the weight")
axes.set(xlabel="steps of mirror descent", ylabel="effective sample size\n(1 is a collapse)", ylim=(0, 25))
axes.legend()
assert worth["sqrt (paper)"][0] > 10 and worth["sqrt (paper)"][-1] < 1.05
assert min(worth["entropy"]) > 5
print("sqrt: 20 steps leave most samples alive, 2000 steps one; entropy does not collapse")

# %% [markdown]
# ## The experiment: selectors and DPO
#
# Now all together, in two worlds: no negative is mislabelled (the third kind is then *harmless*, a little worse
# than the ideal), or a third is. 96 negatives, some of them copies. GA with AdamW at $10^{-4}$, 24 rounds on
# all of them, no retain side. What is unlearned:
#
# - **uniform**: all, equally; **random**: as many as *gain > 0* has, by chance;
# - **gain > 0**: those with $a_k>0$ at the target, equally;
# - **U2A**: `GainFilter`, gain above 0 with entropy weights, two outer rounds (the best by $g$); not the
#   paper's `sqrt` with $M$ and $N$.
#
# Beside it **DPO** on the same 96 pairs, which also learns the chosen answers, and **DPO, filtered**: only
# pairs whose chosen answer has the higher true reward. *Gain > 0* and U2A have seen the true reward (in
# $\nabla J$), plain DPO just labels: the filtered one is the fair rival.


# %%
def copy(model, dtype=torch.float32):
    new = TinyGPT(dtype=dtype)
    new.load_state_dict(model.state_dict())
    return new


def hosted(target, objective, dtype=torch.float32):
    model, reference = copy(target, dtype), copy(target, dtype)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)
    return PlainHost(model, forget=objective, retain=None, optimizer=adam, reference=lambda: reference)


def path(target, batch, objective, weights=None, rounds=24):
    host, strategy, values = hosted(target, objective), ForgetOnly(), [J.value(target)]
    host.sample_weights = weights
    for t in range(rounds):
        strategy.step(host, {"forget": batch, "retain": None})
        values += [J.value(host.model)] if t % 4 == 3 else []
    return values


# %%
def u2a(target, batch, inner=6):
    """Return the selection of U2A, made in double precision."""
    host = hosted(target, AscentNLL(), F64)
    strategy = U2A(ForgetOnly(), GainFilter(MarginalGains(check=False)), J, rounds=2)
    strategy.begin_epoch(host, [batch])
    while not strategy.finished:
        for _ in range(inner):
            strategy.step(host, {"forget": batch, "retain": None})
        strategy.begin_epoch(host, [batch])
    return strategy.selection


def reward_of(batch):
    return toy_reward(batch["input_ids"][:, :2], batch["input_ids"][:, 2:]).sum(1)


def only(batch, kept):
    return {k: only(part, kept) if isinstance(part, dict) else part[kept] for k, part in batch.items()}


# %%
def compared(rate, seed):
    """Return J over rounds by method, in a world of its own target and pairs."""
    target, own = toy_target(rate, seed), toy_sides(toy_preferences(mislabel_rate=rate, seed=seed))[0][:96]
    answers = [p.prompt for p in own], [p.rejected for p in own], [p.chosen for p in own]
    batch, exact = toy_tokens(*answers), copy(target, F64)
    a = MarginalGains()(InnerProblem(exact, lambda b: -exact.losses(b), [batch]), J.gradient(exact))
    rows, helps = batch["index"], selectors.positive_gain(batch["index"], a, regulariser="none")
    chosen = {"uniform": selectors.uniform(rows), "random": selectors.random(rows, len(helps.indices), seed)}
    chosen |= {"gain > 0": helps, "U2A": u2a(target, batch)}
    found = {name: path(target, batch, AscentNLL(), one) for name, one in chosen.items()}
    found["DPO"] = path(target, batch, DPO(0.1))
    agreed = reward_of(batch["alternative"]) > reward_of(batch)
    found["DPO, filtered"] = found["DPO"] if agreed.all() else path(target, only(batch, agreed), DPO(0.1))
    return found


# %% tags=["nbval-ignore-output"]
SEEDS, WORLDS = (0, 1, 2), {"none mislabelled": 0.0, "a third mislabelled": 1 / 3}
runs = {name: [compared(rate, seed) for seed in SEEDS] for name, rate in WORLDS.items()}
METHODS = list(runs["none mislabelled"][0])
best = {n: {m: torch.tensor([max(one[m]) for one in all_]) for m in METHODS} for n, all_ in runs.items()}
rows = ["| best J on the way | " + " | ".join(METHODS) + " |", "|:---|" + "---:|" * len(METHODS)]
for world, of in best.items():
    last = {m: torch.tensor([one[m][-1] for one in runs[world]]) for m in METHODS}
    for name, numbers in ((world, of), ("... after 24 rounds", last)):
        rows.append(f"| {name} | " + " | ".join(f"{x.mean():.2f} ± {x.std():.2f}" for x in numbers.values()))
Markdown("\n".join(rows))

# %%
_, panels = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True)
styles = method_styles(METHODS)
for ax, (world, all_) in zip(panels, runs.items(), strict=True):
    for name, style in styles.items():
        mean = torch.tensor([one[name] for one in all_]).mean(0)
        ax.plot(range(0, 25, 4), mean, style.marker + style.line, color=style.color, label=name, markersize=4)
    ax.set(title=world, xlabel="rounds")
panels[0].set_ylabel("J, mean of the seeds (up is better)")
_ = panels[0].figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %%
_, panels = plt.subplots(1, 2, figsize=(6.4, 3.0), sharex=True, sharey=True)
for ax, (world, of) in zip(panels, best.items(), strict=True):
    for y_at, name in enumerate(METHODS[1:]):
        more = of[name] - of["uniform"]
        ax.plot(
            more, [y_at] * len(more), styles[name].marker, color=styles[name].color, markersize=6, alpha=0.7
        )
        ax.plot([more.mean()] * 2, [y_at - 0.3, y_at + 0.3], color="black")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=world, xlabel="best J, less that of uniform")
panels[0].set_yticks(range(len(METHODS) - 1), METHODS[1:])
panels[0].invert_yaxis()

# %%
more = {world: {m: of[m] - of["uniform"] for m in METHODS} for world, of in best.items()}
clean, noisy = more["none mislabelled"], more["a third mislabelled"]
for name in ("gain > 0", "DPO", "DPO, filtered"):
    assert (noisy[name] > 0).all(), name
assert noisy["U2A"].mean() > 0.05 and noisy["DPO, filtered"].mean() > noisy["gain > 0"].mean() + 0.1
assert noisy["DPO, filtered"].mean() > noisy["DPO"].mean() + 0.05
assert clean["gain > 0"].mean() < -0.02 and (clean["DPO"] > 0).all()
print("a third mislabelled: gain > 0 and DPO beat uniform with every seed, U2A on average")
print("... and DPO on the pairs that the reward agrees with beats gain > 0 and plain DPO on average")
print("none mislabelled: leaving out the negatives of negative gain costs; DPO beats uniform with every seed")

# %% [markdown]
# **Read it with care.** Where a third is mislabelled, unlearning all is wrong, and the sign of the gain finds
# what to leave out. Where all negatives are worse than what the model could say, uniform is better than *gain >
# 0*: a gain is the slope *at the target*. Once the worst answers are gone, $J$ has risen above the mediocre
# ones, and unlearning these would help, too. U2A looks again in each round, and is not settled against uniform
# there: its seeds fall on both sides.
#
# And the fair rival wins. Whoever has a reward with which to compute gains can throw out the pairs that it
# disagrees with, and run DPO. That DPO also learns the chosen answers, which U2A's users may not have.
#
# ## What went wrong, what is not proven
#
# - **The gain is local.** At $\lambda=100$ the predicted ranking is worthless here, and the paper takes
#   $\lambda=1$. Nothing proves that gains at the target order the effects of a whole run; the experiment is all
#   we have.
# - **Assumption 3.1** is false for GA, and **Lemma C.1** needs a convex $g$, which $\sum\sqrt w$ does not give.
# - **Slips in paper 004**: (7) lacks $1/\lambda$; $G^{-1}\approx\lambda I$ for $I/2\lambda$; C.2's
#   normalisation; NPO's arguments are exchanged; (25) adds $\beta\sum\sqrt{w}$ where its gradient is meant. In
#   (9) the term $\frac\beta2w_k^{-1/2}$ is infinite for every sample that has no weight yet: rank those by
#   $a_k$ alone. (12) keeps a weight of 0 at 0, so Algorithm 1's new points need a first weight, of which it
#   says nothing.
# - **Best J on the way** picks the round by the true reward: optimistic, for all methods alike.
# - **This notebook**: 18 000 weights, three seeds, one rate, no retain side, exact $\nabla J$. A sampled
#   $\nabla J$ is noisier, and needs a reward anyway. The paper's own selector ($M$, $N$, `sqrt`) was not run
#   here.
#
# ## Summary
#
# - The gain of a sample is $-\nabla J^\top H^{-1}\nabla l_k$, with $l=+\log p$ for GA and $1/2\lambda$ for
#   $H^{-1}$ at the target. With the NLL every sign flips.
# - All gains cost two forward passes. Mind the step, and the precision.
# - $\sum\sqrt w$ is concave: weights collapse. Report the effective sample size; use entropy.
# - Filtering by the sign of the gain pays where negatives are mislabelled, costs where all are bad; and DPO
#   filtered by the same reward was better here.
#
# ## Exercises
#
# **Exercise 1 (recall).** A colleague computes $+\nabla J^\top\nabla l$ with $l$ the NLL and unlearns the
# samples where it is *highest*, at $\lambda=10$. Are they the right ones? By which factor is this off as a
# prediction for weight 1?
#
# <details><summary>Answer</summary>Two signs cancel: -gJ.(grad log p) = gJ.(grad NLL), so the ranking is right.
# The prediction is w/(2 lambda) = 1/20 of it.</details>
#
# **Exercise 2 (knob).** Replace $\beta=0.5$ in `mirror` by 0. Does the collapse go away? Why not?
#
# <details><summary>Answer</summary>No: linear functions have their minimum at a corner, too. Without the root
# it is the sample of highest gain that wins in the end; the root only pushes it further.</details>
#
# **Exercise 3 (code).** The paper's step gives new samples no weight, and (12) keeps 0 at 0. Write the
# admission: given weights $w$ (some 0) and gains, give the $N$ highest gains *among those of weight 0* the
# weight $1/s$ each, where $s$ is the number of samples with weight afterwards, and scale the old ones so that
# all add up to 1.


# %%
def admit(w, a, n):  # [samples], [samples], N -> [samples]
    ### BEGIN SOLUTION
    new = a.masked_fill(w > 0, -torch.inf).topk(n).indices
    s = (w > 0).sum() + n
    w = w * (1 - n / s)
    w[new] = 1 / s
    return w
    ### END SOLUTION


old, made = torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([9.0, 1.0, 2.0, 3.0])
check(
    admit,
    Case((old, made, 1), torch.tensor([1.0, 1.0, 0.0, 1.0]) / 3, "Admit samples of weight 0 only."),
    Case((old, made, 2), torch.full((4,), 0.25), "The new ones have 1/s each, s counts old and new."),
    Holds(lambda f: torch.equal(old, (f(old, made, 1), old)[1]), "Leave the argument as it was."),
)

# %% [markdown]
# **Exercise 4 (open).** Where all negatives are bad, *gain > 0* loses to uniform since gains are taken at the
# target. Design a rule that would have known: from the rewards alone, from gains at a few points of the path,
# or from what $J$ could reach at best. Try it in `compared`, in both worlds, on seeds that you did not design
# it on.
#
# ## References
#
# - Paper 004: U2A, sections 3.1, 3.2 and appendices B to D (arXiv:2504.06659).
# - Rafailov et al., *Direct preference optimization*, 2023. Zhang et al., *Negative preference optimization*,
#   2024.
# - Koh and Liang, *Understanding black-box predictions via influence functions*, 2017.
# - Borsos et al., *Data summarization via bilevel optimization*, 2024.
