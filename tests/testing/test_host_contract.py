"""The contract catches hosts that are wrong in the ways hosts go wrong."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.host import PlainHost
from unlearnkit.strategies import NGDiff
from unlearnkit.testing.host_contract import ROUNDS, Case, HostContract, Outcome, naive_rounds


class Sloppy(PlainHost):
    """A host to be spoilt."""


class Accumulating(Sloppy):
    def backward(self, loss):
        loss.backward()
        return [p.grad.clone() for p in self.parameters]


class Reusing(Sloppy):
    """Hands out one buffer again and again, as DDP does with gradient_as_bucket_view."""

    def backward(self, loss):
        fresh = super().backward(loss)
        if not hasattr(self, "buffer"):
            self.buffer = fresh
        for kept, new in zip(self.buffer, fresh, strict=True):
            kept.copy_(new)
        return self.buffer


class LeavesGradients(Sloppy):
    def apply(self, gradients, side=None):
        super().apply(gradients, side)
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)


class IgnoresScale(Sloppy):
    def apply(self, gradients, side=None):
        self.lr_scale = 1.0
        super().apply(gradients, side)


class KeepsScale(Sloppy):
    def apply(self, gradients, side=None):
        for group in self.optimizer.param_groups:
            group["lr"] *= self.lr_scale
        self.lr_scale = 1.0
        super().apply(gradients, side)


class MeanOfMeans(Sloppy):
    """Averages micro-batch means, as accumulation in many training loops does."""

    def loss(self, side, batch):
        micro = batch[side] if isinstance(batch[side], list) else [batch[side]]
        parts = [super(MeanOfMeans, self).loss(side, {side: one}) for one in micro]
        return torch.stack(parts).mean()

    def gradients(self, side, batch):
        loss = self.loss(side, batch)
        return loss.detach(), self.backward(loss)


class CountsTwice(Sloppy):
    def apply(self, gradients, side=None):
        super().apply(gradients, side)
        self.round += 1


class LooksAtBoth(Sloppy):
    def loss(self, side, batch):
        for one in ("forget", "retain"):
            super().loss(one, batch)
        return super().loss(side, batch)


class TurnsNonFiniteToZero(Sloppy):
    def loss(self, side, batch):
        return super().loss(side, batch).nan_to_num(0.0)


class StepsOnNaN(Sloppy):
    def backward(self, loss):
        return [g.nan_to_num(0.0) for g in super().backward(loss)]


def contract(kind):
    class Contract(HostContract):
        def run(self, case: Case) -> Outcome:
            optimizer = case.optimizer(case.model.parameters())
            host = kind(case.model, forget=case.forget, retain=case.retain, optimizer=optimizer)
            reports, rates = [], []
            for round_, batch in enumerate(case.batches):
                host.lr_scale = case.scale(round_)
                reports.append(case.strategy.step(host, batch))
                rates.append(optimizer.param_groups[0]["lr"])
            parameters = list(case.model.parameters())
            left = sum(p.grad is not None for p in parameters)
            return Outcome([p.detach() for p in parameters], reports, host.round, rates, left)

    return Contract()


CAUGHT = [
    (Accumulating, "test_rounds_equal_naive_autograd"),
    (Accumulating, "test_gradients_never_alias"),
    (Reusing, "test_rounds_equal_naive_autograd"),
    (Reusing, "test_gradients_never_alias"),
    (LeavesGradients, "test_rounds_are_counted_and_nothing_is_left"),
    (IgnoresScale, "test_rate_is_scaled_for_the_step_and_put_back"),
    (KeepsScale, "test_rate_is_scaled_for_the_step_and_put_back"),
    (MeanOfMeans, "test_micro_batches_equal_one_batch"),
    (CountsTwice, "test_rounds_are_counted_and_nothing_is_left"),
    (LooksAtBoth, "test_one_sided_strategies_leave_the_other_side_alone"),
    (TurnsNonFiniteToZero, "test_divergence_names_side_and_round"),
    (StepsOnNaN, "test_non_finite_gradient_is_skipped"),
]


@pytest.mark.parametrize(("kind", "test"), CAUGHT)
def test_a_spoilt_host_fails(kind, test):
    getattr(contract(Sloppy), test)()
    with pytest.raises(AssertionError):
        getattr(contract(kind), test)()


def test_the_empty_side_is_tested():
    class Raises(Sloppy):
        def loss(self, side, batch):
            assert len(batch[side]["index"]), "an empty batch"
            return super().loss(side, batch)

    with pytest.raises(AssertionError, match="an empty batch"):
        contract(Raises).test_empty_side_contributes_nothing()


def test_every_test_of_the_contract_is_shown_to_be_able_to_fail():
    tests = {name for name in dir(HostContract) if name.startswith("test_")}
    assert tests - {test for _, test in CAUGHT} == {"test_empty_side_contributes_nothing"}


def test_the_base_says_nothing_about_how_to_run():
    with pytest.raises(NotImplementedError):
        HostContract().test_gradients_never_alias()


def test_the_oracle_moves_the_parameters_by_the_naive_rule():
    case = Case(NGDiff(), batches=Case(NGDiff()).batches[:1])
    start = [p.detach().clone() for p in case.model.parameters()]
    after = naive_rounds(case)
    length = torch.cat([(a - b).flatten() for a, b in zip(after, start, strict=True)]).norm().item()
    assert 0 < length <= 2 * 0.05
    assert len(Case(NGDiff()).batches) == ROUNDS
