"""A logistic problem of 24 samples in float64 whose inner problem Newton's method solves: what is exact, is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from unlearnkit.gradients import InnerProblem
from unlearnkit.objectives import AscentNLL

SAMPLES, FEATURES = 24, 6


class Logistic(nn.Module):
    """Logistic regression that speaks the model protocol."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.detach().clone())

    def losses(self, batch):
        """Return negative log-likelihoods, [batch]."""
        return -logsigmoid(batch["targets"] * (batch["inputs"] @ self.theta))

    def counts(self, batch):
        """Return ones, [batch]."""
        return torch.ones_like(batch["index"])


class LikelihoodJ:
    """J: the mean log-likelihood of other samples."""

    def __init__(self, batch) -> None:
        self.batch = batch

    def value(self, model) -> float:
        """Return J."""
        with torch.no_grad():
            return -float(model.losses(self.batch).mean())

    def gradient(self, model) -> list[Tensor]:
        """Return its gradient."""
        return list(torch.autograd.grad(-model.losses(self.batch).mean(), list(model.parameters())))


def samples(size: int, seed: int, first: int = 0):
    """Return a seeded labelled batch; a third of the labels are against the others' direction."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, FEATURES, generator=generator, dtype=torch.float64)
    truth = torch.linspace(-1.0, 1.0, FEATURES, dtype=torch.float64)
    targets = (inputs @ truth).sign()
    targets[::3] *= -1
    return {"inputs": inputs, "targets": targets, "index": torch.arange(first, first + size)}


class Bilevel:
    """The inner problem ``sum w l + lambda |theta - theta*|^2`` with its exact solution, and J of it."""

    def __init__(self, lam: float = 1.0, objective=None, batch_size: int = 7) -> None:
        self.lam = lam
        self.objective = objective if objective is not None else AscentNLL()
        generator = torch.Generator().manual_seed(1)
        self.start = 0.5 * torch.randn(FEATURES, generator=generator, dtype=torch.float64)
        self.target = Logistic(self.start)
        self.model = Logistic(self.start)
        self.all = samples(SAMPLES, seed=2, first=100)
        self.batches = [
            {name: value[low : low + batch_size] for name, value in self.all.items()}
            for low in range(0, SAMPLES, batch_size)
        ]
        self.j = LikelihoodJ(samples(30, seed=3))
        self.problem = InnerProblem(self.model, self.losses, self.batches)

    def losses(self, batch):
        """Return what unlearning minimises of each sample, [batch]."""
        return self.objective(self.model, batch, lambda: self.target).sums

    def solve(self, weights: Tensor) -> Tensor:
        """Put the model at theta(w), and return it."""
        theta = self.start.clone()
        for _ in range(50):
            with torch.no_grad():
                self.model.theta.copy_(theta)

            def f(value):
                model = Logistic(value)
                del model.theta
                model.theta = value
                inner = self.objective(model, self.all, lambda: self.target).sums
                return (weights * inner).sum() + self.lam * (value - self.start).square().sum()

            gradient = torch.func.grad(f)(theta)
            theta = theta - torch.linalg.solve(torch.func.hessian(f)(theta), gradient)
            if gradient.norm() < 1e-14:
                break
        with torch.no_grad():
            self.model.theta.copy_(theta)
        return theta

    def value(self, weights: Tensor) -> float:
        """Return J(theta(w))."""
        self.solve(weights)
        return self.j.value(self.model)

    def gradient(self) -> list[Tensor]:
        """Return J's gradient where the model is."""
        return self.j.gradient(self.model)


def spearman(a: Tensor, b: Tensor) -> float:
    """Return the rank correlation."""
    ranks = torch.stack([a.argsort().argsort().double(), b.argsort().argsort().double()])
    return float(torch.corrcoef(ranks)[0, 1])
