"""Displacement: anywhere along u, and back to the same bits."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients.probe import Displacement


def model_of(dtype, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def move(model, size=0.1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += (size * torch.randn(p.shape, generator=generator)).to(p.dtype)


def bits(model):
    return [p.detach().clone() for p in model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_hundred_probes_leave_the_same_bits(dtype):
    model = model_of(dtype)
    before = bits(model)
    moved = Displacement(model)
    move(model)
    after = bits(model)
    moved.measure()
    for k in range(100):
        moved.write(-3.0 + 0.07 * k)
    moved.restore()
    assert same(bits(model), after)
    moved.write(0.0)
    assert same(bits(model), before)
    moved.write(1.0)
    assert same(bits(model), after)


def test_adding_and_subtracting_would_not_do():
    """The reason for the copies: without them half of the elements change."""
    model = model_of(torch.float32)
    start = bits(model)
    u = [0.1 * torch.randn_like(p) for p in start]
    drifted = [(p + d) - d for p, d in zip(start, u, strict=True)]
    assert not same(start, drifted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("r", [-1.0, 0.5, 2.5, 1e-3])
def test_write_is_the_formula_rounded_once(dtype, r):
    model = model_of(dtype)
    before = [p.double() for p in bits(model)]
    moved = Displacement(model)
    move(model)
    after = [p.double() for p in bits(model)]
    moved.measure()
    moved.write(r)
    for now, a, b in zip(bits(model), before, after, strict=True):
        exact = a + r * (b - a)
        torch.testing.assert_close(now.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7)
        if dtype in (torch.bfloat16, torch.float16):
            assert torch.equal(now, (a + r * (b - a)).float().to(dtype))


def test_the_norm_is_that_of_all_trainable_parameters():
    model = model_of(torch.bfloat16)
    model[0].bias.requires_grad_(False)
    before = bits(model)
    moved = Displacement(model)
    move(model)
    moved.measure()
    squares = [
        (now.detach().double() - then.double()).square().sum()
        for (name, now), then in zip(model.named_parameters(), before, strict=True)
        if name != "0.bias"
    ]
    assert moved.norm == pytest.approx(float(sum(squares)) ** 0.5, rel=1e-6)


def test_frozen_parameters_and_buffers_are_left_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[0].weight.requires_grad_(False)
    moved = Displacement(model)
    with torch.no_grad():
        model[0].weight += 1.0
        model[1].running_mean += 1.0
        model[1].weight += 1.0
    frozen, mean = model[0].weight.clone(), model[1].running_mean.clone()
    moved.measure()
    moved.write(-1.0)
    assert torch.equal(model[0].weight, frozen)
    assert torch.equal(model[1].running_mean, mean)
    assert torch.equal(model[1].weight, torch.zeros(3))


def test_no_gradient_no_new_storage():
    """The optimizer keeps pointing at the parameters it was given."""
    model = model_of(torch.float32)
    pointers = [p.data_ptr() for p in model.parameters()]
    moved = Displacement(model)
    move(model)
    moved.measure()
    moved.write(0.3)
    assert [p.data_ptr() for p in model.parameters()] == pointers
    assert all(p.requires_grad and p.grad is None and p.grad_fn is None for p in model.parameters())


def test_nothing_moved_and_not_finite():
    model = model_of(torch.float32)
    moved = Displacement(model)
    moved.measure()
    assert moved.norm == 0.0
    with torch.no_grad():
        model[0].weight[0, 0] = torch.inf
    moved.measure()
    assert moved.norm == float("inf")


def test_misuse_says_what_to_do():
    model = model_of(torch.float32)
    moved = Displacement(model)
    with pytest.raises(ConfigurationError, match=r"Call measure\(\) first"):
        moved.write(1.0)
    moved.measure()
    moved.release()
    with pytest.raises(ConfigurationError, match="released"):
        moved.write(1.0)
    with pytest.raises(ConfigurationError, match="requires_grad=True"):
        Displacement(model.requires_grad_(False))


def test_mixed_types_and_the_lowest_precision():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2, dtype=torch.bfloat16)])
    moved = Displacement(model)
    assert moved.lowest_precision == torch.bfloat16
    move(model)
    after = bits(model)
    moved.measure()
    moved.write(0.5)
    moved.restore()
    assert same(bits(model), after)


SHARDED = """
import os, sys, torch, torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from unlearnkit.gradients.probe import Displacement

rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
torch.manual_seed(0)
whole = nn.Sequential(nn.Linear(5, 17), nn.Tanh(), nn.Linear(17, 3))
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 17), nn.Tanh(), nn.Linear(17, 3))
fully_shard(model[0], mesh=mesh)
fully_shard(model, mesh=mesh)
x = torch.linspace(-1, 1, 20).view(4, 5)

def rank_sum(value):
    value = value.clone()
    dist.all_reduce(value)
    return value

def loss(network):
    with torch.no_grad():
        return float(network(x).square().sum())

def shift(network):
    network(x).square().sum().backward()
    torch.optim.SGD(network.parameters(), lr=0.05).step()
    network.zero_grad()

assert abs(loss(model) - loss(whole)) < 1e-5        # leaves the root gathered: the trap
pairs = []
for network in (model, whole):
    moved = Displacement(network, rank_sum)
    shift(network)
    moved.measure()
    found = [moved.norm]
    for r in (-1.0, 0.0, 0.5, 1.0):
        moved.write(r)
        found.append(loss(network))
    moved.write(0.5)
    moved.release()
    found.append(loss(network))
    pairs.append(found)
assert all(abs(a - b) < 1e-5 * abs(b) for a, b in zip(*pairs)), pairs
assert pairs[0][1] > pairs[0][2] > pairs[0][3], pairs
dist.barrier()
sys.stdout.write("fine")
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.distributed
def test_sharded_parameters_are_probed_like_whole_ones(tmp_path):
    """FSDP2 keeps the root gathered after a forward; a probe must not be evaluated on that copy."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", SHARDED]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for rank in range(2)
    ]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert out == "fine", err[-3000:]
