"""PlainHost against the contract of a host, and the helpers that both hosts are made of."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.gradients import Mask
from unlearnkit.host import PlainHost, scaled_learning_rate, take_gradients
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import Alternate, FixedWeights, NGDiff, RetainOnly, RoundReport, Strategy
from unlearnkit.testing.host_contract import STRATEGIES, Case, HostContract, Outcome
from unlearnkit.testing.stub_strategies import AlternatingStub, SidedSGD
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair


def plain_host(model: nn.Module, **changes) -> PlainHost:
    settings = {
        "forget": AscentNLL(),
        "retain": NLL(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }
    return PlainHost(model, **(settings | changes))


class TestPlainHost(HostContract):
    def run(self, case: Case) -> Outcome:
        optimizer = case.optimizer(case.model.parameters())
        host = PlainHost(case.model, forget=case.forget, retain=case.retain, optimizer=optimizer)
        reports, rates = [], []
        for round_, batch in enumerate(case.batches):
            host.lr_scale = case.scale(round_)
            reports.append(case.strategy.step(host, batch))
            rates.append(optimizer.param_groups[0]["lr"])
        parameters = list(case.model.parameters())
        left = sum(p.grad is not None for p in parameters)
        return Outcome([p.detach() for p in parameters], reports, host.round, rates, left)


class CountReads(TorchFunctionMode):
    """Count what waits for the device: every way in which Python reads a tensor's value."""

    READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero")

    def __init__(self):
        super().__init__()
        self.reads = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in self.READS:
            self.reads.append(func.__name__)
        return func(*args, **(kwargs or {}))


class CountScalars(TorchDispatchMode):
    """Count the kernels that copy one value to the host, also from within torch's own code."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_round_reads_the_device_once(name):
    model = ToyClassifier()
    host = plain_host(model, optimizer=torch.optim.AdamW(model.parameters(), fused=True))
    strategy, batch = STRATEGIES[name](), toy_pair()
    strategy.step(host, batch)
    with CountReads() as python, CountScalars() as kernels:
        strategy.step(host, batch)
    assert python.reads == ["tolist"]
    assert kernels.reads == 0


def test_last_good_checkpoint_is_named():
    model, batch = ToyClassifier(), toy_pair()
    host = plain_host(model)
    batch["retain"]["inputs"][0, 0] = torch.inf
    with pytest.raises(NonFiniteError) as bare:
        RetainOnly().step(host, batch)
    assert "checkpoint" not in str(bare.value)
    host.last_good = "runs/step=7.ckpt"
    with pytest.raises(NonFiniteError, match=r"The last good checkpoint is kept: runs/step=7\.ckpt\. Lower"):
        RetainOnly().step(host, batch)


@pytest.mark.parametrize(("side", "remedy"), [("forget", "AscentNLL()"), ("retain", "NLL()")])
def test_a_missing_objective_is_asked_for(side, remedy):
    host = plain_host(ToyClassifier(), **{side: None})
    with pytest.raises(ConfigurationError) as error:
        NGDiff().step(host, toy_pair())
    assert str(error.value).startswith(f"`{side}` must be an objective")
    assert f"Pass e.g. `{side}={remedy}`" in str(error.value)


def test_frozen_parameters_stay():
    model = ToyClassifier()
    model.layer.bias.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    NGDiff().step(plain_host(model), toy_pair())
    assert torch.equal(model.layer.bias, before["layer.bias"])
    assert not torch.equal(model.layer.weight, before["layer.weight"])


def test_take_gradients_takes_by_reference_and_fills_in_zeros():
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    (2 * used).sum().backward()
    own = used.grad
    taken = take_gradients([used, unused])
    assert taken[0] is own
    assert taken[1].tolist() == [0.0, 0.0]
    assert used.grad is None
    assert unused.grad is None


@pytest.mark.parametrize("scale", [1 / 3, 1e-30, 7.0, 0.0])
def test_the_rate_of_every_group_comes_back_exactly_also_after_an_error(scale):
    rates = [0.1, 1e-3, 1 / 7]
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates])
    with scaled_learning_rate(optimizer, scale):
        assert [group["lr"] for group in optimizer.param_groups] == [rate * scale for rate in rates]
    assert [group["lr"] for group in optimizer.param_groups] == rates
    with pytest.raises(KeyboardInterrupt), scaled_learning_rate(optimizer, scale):
        raise KeyboardInterrupt
    assert [group["lr"] for group in optimizer.param_groups] == rates


class Saved:
    """A tensor that a graph keeps for its backward pass."""

    def __init__(self, tensor):
        self.tensor = tensor


def test_one_micro_batch_s_graph_is_in_memory_at_a_time():
    """What the graph of a micro-batch keeps is freed when the next one is evaluated."""
    alive, at_once = weakref.WeakSet(), []

    def pack(tensor):
        saved = Saved(tensor)
        alive.add(saved)
        return saved

    class Watched(NLL):
        def forward(self, model, batch, reference=None):
            at_once.append(len(alive))
            return super().forward(model, batch, reference)

    model = ToyClassifier(seed=0)
    host = PlainHost(
        model, forget=None, retain=Watched(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    batch = {"forget": None, "retain": [toy_batch(3, seed=i) for i in range(4)]}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        for strategy in (NGDiffOnRetain(), RetainOnly()):
            strategy.step(host, batch)
        host.loss("retain", batch)
    assert at_once[:8] == [0] * 8
    assert sorted(at_once[8:]) == at_once[8:]
    assert at_once[-1] > 0  # a loss that is still to be backpropagated does keep them


class NGDiffOnRetain(Strategy):
    """Ask for the retain gradients alone."""

    def update(self, host, batch):
        loss, gradients = host.gradients("retain", batch)
        host.apply(gradients)
        return RoundReport({"retain": loss})


def test_a_held_side_is_measured_and_moves_nothing():
    batch = toy_pair(seed=1)
    held, alone = ToyClassifier(seed=0), ToyClassifier(seed=0)
    host = PlainHost(
        held, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(held.parameters(), lr=0.1)
    )
    host.held.add("forget")
    report = FixedWeights(c=0.5).step(host, batch)
    assert report.losses["forget"].item() == pytest.approx(-alone.losses(batch["forget"]).mean().item())
    plain = PlainHost(
        alone, forget=None, retain=NLL(), optimizer=torch.optim.SGD(alone.parameters(), lr=0.05)
    )
    RetainOnly().step(plain, batch)
    for a, b in zip(held.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_penalty_counts_once_however_many_micro_batches_there_are():
    class Decayed(NLL):
        def penalty(self, model, reference=None):
            return sum(p.square().sum() for p in model.parameters())

    batch = toy_batch(6, seed=2, dtype=torch.float64)
    parts = [{k: v[rows] for k, v in batch.items()} for rows in (slice(0, 1), slice(1, 4), slice(4, None))]
    found = []
    for retain in (batch, parts):
        model = ToyClassifier(seed=0, dtype=torch.float64)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        host = PlainHost(model, forget=None, retain=Decayed(), optimizer=sgd)
        found.append(host.gradients("retain", {"forget": None, "retain": retain}))
    assert found[0][0].item() == pytest.approx(found[1][0].item(), rel=1e-12)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


class ToldSGD(SidedSGD):
    """Write down whose step each one is."""

    def __init__(self, parameters):
        super().__init__(parameters)
        self.told = []

    def step(self, closure=None, side=None):
        self.told.append(side)
        super().step(closure, side)


def test_an_optimizer_with_state_by_side_is_told_whose_step_it_is():
    model = ToyClassifier(seed=0, dtype=torch.float64)
    host = plain_host(model, optimizer=ToldSGD(model.parameters()))
    for seed in range(2):
        AlternatingStub(2, 1).step(host, toy_pair(seed=seed, dtype=torch.float64))
    assert host.optimizer.told == ["forget", "forget", "retain"] * 2


def chessboard(model: nn.Module) -> list[torch.Tensor]:
    """Return masks that keep every other weight."""
    return [(torch.arange(p.numel()) % 2 == 0).view(p.shape) for p in model.parameters()]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_hard_mask_freezes_weights_whatever_the_strategy(name):
    model, start = ToyClassifier(seed=3), ToyClassifier(seed=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    host, strategy = plain_host(model, optimizer=optimizer), STRATEGIES[name]()
    host.mask = Mask(chessboard(model), host.parameters)
    for seed in range(5):
        strategy.step(host, toy_pair(seed=seed))
    for p, before, keep in zip(model.parameters(), start.parameters(), chessboard(model), strict=True):
        assert torch.equal(p[~keep], before[~keep])
        assert not torch.equal(p[keep], before[keep])
        assert not optimizer.state[p]["momentum_buffer"][~keep].any()


def test_weights_are_made_of_masked_gradients():
    """NGDiff divides by the length of what may move, also where a side comes in micro-batches."""
    pair = toy_pair(dtype=torch.float64)
    for batch in (pair, {side: [rows] for side, rows in pair.items()}):
        model = ToyClassifier(seed=3, dtype=torch.float64)
        host = plain_host(model)
        host.mask = Mask(chessboard(model), host.parameters)
        masked = [g * k for g, k in zip(grads(model, pair["retain"]), chessboard(model), strict=True)]
        report = NGDiff().step(host, batch)
        length = torch.cat([g.flatten() for g in masked]).norm().item()
        assert report.weights.retain.item() == pytest.approx(1 / length, rel=1e-12)


@pytest.mark.parametrize("hard", [True, False])
def test_sides_are_masked_before_they_are_clipped(hard):
    """SFRon clips the masked forget gradient; a soft mask leaves retain steps alone."""
    steps = {}

    class Seen(SidedSGD):
        def step(self, closure=None, side=None):
            steps[side] = [p.grad.clone() for group in self.param_groups for p in group["params"]]
            super().step(closure, side)

    model = ToyClassifier(seed=3, dtype=torch.float64)
    pair = toy_pair(dtype=torch.float64)
    expected = [g * k for g, k in zip(grads(model, pair["forget"]), chessboard(model), strict=True)]
    host = plain_host(model, optimizer=Seen(model.parameters()))
    host.mask = Mask(chessboard(model), host.parameters, hard=hard)
    longest = 0.1 * torch.cat([g.flatten() for g in expected]).norm().item()
    Alternate(forget_clip=longest).step(host, pair)
    for found, whole, keep in zip(steps["forget"], expected, chessboard(model), strict=True):
        torch.testing.assert_close(found, -0.1 * whole, rtol=1e-12, atol=1e-15)
        assert not found[~keep].any()
    assert any(g[~k].any() for g, k in zip(steps["retain"], chessboard(model), strict=True)) is not hard


def grads(model, batch):
    return torch.autograd.grad(model.losses(batch).mean(), list(model.parameters()))


def test_a_round_with_a_mask_reads_the_device_once():
    model = ToyClassifier()
    host = plain_host(model, optimizer=torch.optim.AdamW(model.parameters(), fused=True))
    host.mask = Mask(chessboard(model), host.parameters)
    NGDiff().step(host, toy_pair())
    with CountReads() as python, CountScalars() as kernels:
        NGDiff().step(host, toy_pair())
    assert python.reads == ["tolist"]
    assert kernels.reads == 0


def test_weights_are_the_forget_side_s_alone():
    class Half:
        def of(self, index):
            return torch.tensor([1.0, 0.0, 0.0, 0.0])[index]

    model = ToyClassifier(dtype=torch.float64)
    host, batch = plain_host(model), toy_pair(forget=4, retain=4, dtype=torch.float64)
    bare = {side: host.loss(side, batch).item() for side in ("forget", "retain")}
    host.sample_weights = Half()
    assert host.loss("retain", batch).item() == bare["retain"]
    assert host.loss("forget", batch).item() == pytest.approx(
        -model.losses(batch["forget"])[0].item(), rel=1e-14
    )
    parts = {side: [toy_batch(2, seed=9, dtype=torch.float64), batch[side]] for side in ("forget", "retain")}
    for side in ("forget", "retain"):
        assert host.gradients(side, parts)[0].item() == pytest.approx(
            host.loss(side, parts).item(), rel=1e-14
        )


def test_restart_writes_values_and_empties_the_optimizer():
    model = ToyClassifier()
    host = plain_host(model, optimizer=torch.optim.AdamW(model.parameters(), lr=0.1))
    start = [p.detach().clone() for p in host.parameters]
    FixedWeights().step(host, toy_pair())
    once = [p.detach().clone() for p in host.parameters]
    host.restart(start)
    assert all(torch.equal(a, b) for a, b in zip(host.parameters, start, strict=True))
    assert not host.optimizer.state
    FixedWeights().step(host, toy_pair())
    assert all(torch.equal(a, b) for a, b in zip(host.parameters, once, strict=True))
