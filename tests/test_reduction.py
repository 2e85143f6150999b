"""One side's loss: sums over counts over everything, and weights that follow samples."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import NLL, Objective, PerSample
from unlearnkit.reduction import accumulated_gradients, objective_loss
from unlearnkit.testing.toys import ToyClassifier, toy_batch, toy_pair


class Weighted(Objective):
    """A stand-in with counts that differ by sample, and a penalty."""

    def __init__(self, coefficient=None):
        super().__init__()
        self.coefficient = coefficient

    def forward(self, model, batch, reference=None):
        return PerSample(model.losses(batch), 1 + batch["index"] % 3)

    def penalty(self, model, reference=None):
        if self.coefficient is None:
            return None
        return self.coefficient * sum(p.square().sum() for p in model.parameters())


def own(value):
    return value


class TestObjectiveLoss:
    def test_is_the_sum_over_the_count_of_all_micro_batches(self):
        model = ToyClassifier(dtype=torch.float64)
        first, second = toy_batch(2, dtype=torch.float64), toy_batch(5, seed=1, dtype=torch.float64)
        batch = {"forget": None, "retain": [first, second]}
        loss = objective_loss(Weighted(), model, batch, "retain", None, own)
        sums = torch.cat([model.losses(first), model.losses(second)])
        counts = torch.tensor([1, 2, 1, 2, 3, 1, 2])
        torch.testing.assert_close(loss, sums.sum() / counts.sum(), rtol=1e-14, atol=0)

    def test_value_is_global_and_gradient_is_the_local_part_times_world(self):
        """Three ranks, played one after the other: the mean of their gradients is the global one."""
        parts = [toy_batch(size, seed=size, dtype=torch.float64) for size in (2, 5, 4)]
        whole = ToyClassifier(dtype=torch.float64)
        total = torch.stack([whole.losses(part).sum() for part in parts]).sum() / sum(
            len(p["index"]) for p in parts
        )
        total.backward()
        everywhere = torch.tensor([total.item() * 11, 11.0], dtype=torch.float64)
        gradients, values = [], []
        for part in parts:
            model = ToyClassifier(dtype=torch.float64)
            batch = {"forget": None, "retain": part}
            loss = objective_loss(NLL(), model, batch, "retain", None, lambda value: everywhere, world=3)
            loss.backward()
            gradients.append(model.layer.weight.grad)
            values.append(loss.item())
        assert values == pytest.approx([total.item()] * 3, rel=1e-14)
        torch.testing.assert_close(
            torch.stack(gradients).mean(0), whole.layer.weight.grad, rtol=1e-12, atol=1e-15
        )

    def test_penalty_counts_once_whatever_world_and_micro_batches(self):
        model = ToyClassifier(dtype=torch.float64)
        part = toy_batch(3, dtype=torch.float64)
        batch = {"forget": None, "retain": [part, part]}
        bare = objective_loss(Weighted(), model, batch, "retain", None, own, world=4)
        with_penalty = objective_loss(Weighted(0.5), model, batch, "retain", None, own, world=4)
        squares = sum(p.square().sum() for p in model.parameters())
        assert (with_penalty - bare).item() == pytest.approx(0.5 * squares.item(), rel=1e-13)

    def test_all_masked_is_zero_and_attached(self):
        class Masked(Objective):
            def forward(self, model, batch, reference=None):
                return PerSample(model.losses(batch) * 0, torch.zeros_like(batch["index"]))

        model = ToyClassifier()
        loss = objective_loss(Masked(), model, toy_pair(), "retain", None, own)
        assert loss.item() == 0.0
        loss.backward()
        assert model.layer.weight.grad.abs().max() == 0

    def test_weights_that_sum_to_less_than_one_still_give_a_mean(self):
        class Light(Objective):
            def forward(self, model, batch, reference=None):
                losses = model.losses(batch)
                return PerSample(0.01 * losses, torch.full_like(losses, 0.01))

        model, pair = ToyClassifier(), toy_pair()
        loss = objective_loss(Light(), model, pair, "retain", None, own)
        assert loss.item() == pytest.approx(model.losses(pair["retain"]).mean().item(), rel=1e-6)

    def test_units_are_counted_exactly_beside_half_precision_sums(self):
        """1001 units: bf16 alone would count 1000."""

        class Long(Objective):
            def forward(self, model, batch, reference=None):
                return PerSample(model.losses(batch).bfloat16(), torch.full((1,), 1001))

        seen = []
        batch = {"forget": None, "retain": toy_batch(1)}
        objective_loss(Long(), ToyClassifier(), batch, "retain", None, lambda v: (seen.append(v), v)[1])
        assert seen[0].dtype == torch.float64
        assert seen[0][1].item() == 1001


class OfIndex:
    """Weights kept in a tensor, row by row."""

    def __init__(self, weights):
        self.weights = torch.tensor(weights, dtype=torch.float64)

    def of(self, index):
        """Return the weight of each sample."""
        return self.weights[index]


class TestSampleWeights:
    weights = OfIndex([0.5, 0.0, 0.25, 0.05, 0.2])

    def expected(self, model, parts):
        """Return ``sum(w sums) / sum(w counts)`` by hand."""
        sums = counts = 0.0
        for part in parts:
            for row, loss in zip(part["index"].tolist(), model.losses(part), strict=True):
                weight = self.weights.weights[row].item()
                sums, counts = sums + weight * loss, counts + weight * (1 + row % 3)
        return sums / counts

    def test_loss_is_weighed_by_index_over_micro_batches(self):
        model = ToyClassifier(dtype=torch.float64)
        parts = [toy_batch(2, dtype=torch.float64), toy_batch(5, seed=1, dtype=torch.float64)]
        found = objective_loss(
            Weighted(), model, {"forget": parts, "retain": None}, "forget", None, own, weights=self.weights
        )
        torch.testing.assert_close(found, self.expected(model, parts), rtol=1e-14, atol=0)

    def test_accumulated_gradients_are_weighed_alike(self):
        model = ToyClassifier(dtype=torch.float64)
        parts = [toy_batch(2, dtype=torch.float64), toy_batch(5, seed=1, dtype=torch.float64)]
        want = torch.autograd.grad(self.expected(model, parts), list(model.parameters()))

        def backward(loss):
            loss.backward()
            return [p.grad for p in model.parameters()]

        loss, found = accumulated_gradients(
            Weighted(),
            model,
            {"forget": parts, "retain": None},
            "forget",
            None,
            own,
            lambda part: part.backward(),
            backward,
            weights=self.weights,
        )
        assert loss.item() == pytest.approx(self.expected(model, parts).item(), rel=1e-14)
        for got, wanted in zip(found, want, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-15)

    def test_a_batch_of_weight_zero_is_a_loss_of_zero_and_attached(self):
        model = ToyClassifier()
        pair = {"forget": toy_batch(3), "retain": None}
        loss = objective_loss(NLL(), model, pair, "forget", None, own, weights=OfIndex([0.0] * 3))
        assert loss.item() == 0.0
        loss.backward()
        assert model.layer.weight.grad.abs().max() == 0

    def test_a_batch_without_an_index_is_refused(self):
        batch = {name: value for name, value in toy_batch(3).items() if name != "index"}
        with pytest.raises(
            ConfigurationError, match=r"`batch` must hold the `index`.*Found \['inputs', 'tar"
        ):
            objective_loss(
                NLL(),
                ToyClassifier(),
                {"forget": batch, "retain": None},
                "forget",
                None,
                own,
                weights=self.weights,
            )


@pytest.mark.parametrize("micro", [False, True])
def test_weights_too_small_for_fp32_forget_nothing_instead_of_nan(micro):
    """Literal mirror descent leaves weights of 1e-245 (paper 004's settings): a batch may hold no other."""
    model, weights = ToyClassifier(), OfIndex([1e-245, 1e-120, 1e-40])
    pair = {"forget": [toy_batch(3)] * 2 if micro else toy_batch(3), "retain": None}

    def backward(loss):
        loss.backward()
        return [p.grad for p in model.parameters()]

    if micro:
        loss, gradients = accumulated_gradients(
            NLL(),
            model,
            pair,
            "forget",
            None,
            own,
            lambda part: part.backward(),
            backward,
            weights=weights,
        )
    else:
        loss = objective_loss(NLL(), model, pair, "forget", None, own, weights=weights)
        gradients = backward(loss)
    assert abs(loss.item()) < 1e-30
    assert all(float(gradient.abs().max()) < 1e-30 for gradient in gradients)
