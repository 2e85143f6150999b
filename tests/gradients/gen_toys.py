"""Small problems for GeN: a quadratic bowl whose answer is known, and a network fitted to its data."""

import copy

import torch
from torch import nn

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import NGDiff
from unlearnkit.testing import toy_pair


class Bowl(nn.Module):
    """``L(theta) = offset + mean_i (theta - c_i) . A . (theta - c_i) / 2``; a batch is the centres c [B, d]."""

    def __init__(self, start, curvature, offset=0.5):
        super().__init__()
        start = torch.as_tensor(start, dtype=torch.float64)
        half = len(start) // 2
        self.a, self.b = nn.Parameter(start[:half].clone()), nn.Parameter(start[half:].clone())
        self.register_buffer("curvature", torch.as_tensor(curvature, dtype=torch.float64))
        self.offset = offset

    @property
    def theta(self):
        return torch.cat([self.a, self.b])

    def losses(self, batch):
        away = self.theta - batch
        return self.offset + 0.5 * torch.einsum("bi,ij,bj->b", away, self.curvature, away)

    def counts(self, batch):
        return torch.ones(len(batch))


def bowl(seed=0, d=6, sign=1.0):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(d, d, generator=generator, dtype=torch.float64)
    model = Bowl(torch.randn(d, generator=generator), sign * (root @ root.T + 0.1 * torch.eye(d)))
    batch = {
        "forget": torch.randn(3, d, generator=generator, dtype=torch.float64),
        "retain": torch.randn(4, d, generator=generator, dtype=torch.float64),
    }
    return model, batch


def host_for(model, optimizer):
    return PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)


OPTIMIZERS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, weight_decay=0.1),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.1),
}


class Curved(nn.Module):
    """A small network trained to fit its data: losses that are parabolas nearby only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 4))

    def losses(self, batch):
        return nn.functional.cross_entropy(self.net(batch["inputs"]), batch["targets"], reduction="none")

    def counts(self, batch):
        return torch.ones_like(batch["targets"])


def fitted():
    """Return the network, fitted to 12 forget and 48 retain samples, and the samples."""
    model, batch = Curved(), toy_pair(forget=12, retain=48, features=8, classes=4, seed=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = torch.cat([model.losses(batch["forget"]), model.losses(batch["retain"])]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05
    return model, batch


def accuracies(model, batch):
    with torch.no_grad():
        return [
            float((model.net(batch[s]["inputs"]).argmax(-1) == batch[s]["targets"]).float().mean())
            for s in ("forget", "retain")
        ]


def unlearn(trained, optimizer, gen, rounds=30):
    model, batch = copy.deepcopy(trained[0]), trained[1]
    host = host_for(model, optimizer(model.parameters()))
    for _ in range(rounds):
        gen.step(NGDiff(), host, batch)
    return model, host
