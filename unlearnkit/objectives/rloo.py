"""RLOO: raise a reward by sampled policy gradient, and stay near the target."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from unlearnkit.errors import MismatchError
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_not_negative,
    require_reference,
)


class PolicyGradient(Protocol):
    """What samples responses and rewards them; ``alignment.PolicyGradientJ`` does."""

    def surrogate(self, model: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Return sums [batch] and counts [batch] whose quotient's gradient is minus the estimate of grad J.

        Args:
            model: The model that answers.
            batch: Its prompts are answered; the responses in it are not looked at.
        """
        ...


_ROUNDS = 2**31 - 1


class RLOO(Objective):
    """Minimise ``-J + kl KL(p || p_ref)`` on the prompts of the forget batch (Ahmadian et al. 2024).

    J is the mean reward of responses that the model itself samples. Its gradient is REINFORCE's: each of k responses to
    a prompt is weighed by its reward less the mean reward of the k - 1 others, the *leave-one-out* baseline. Sampling,
    reward and baseline are the business of ``policy``.

    This is not PPO, which paper 004 sets its methods against: there is no critic, no ratio to an older policy that is
    clipped, no second epoch over the same samples. It stands where the paper has PPO, under its own name.

    Every call that can be learned from draws anew: where ``policy`` has ``at(round)``, it is handed a number from
    torch's own generator, which a training run seeds for each round and rank, so that a resume draws the same. Calls
    without gradients, which compare losses, stay with the draws of the last one.

    The divergence is summed over the vocabulary at each scored unit of the responses that the batch holds, and over
    the units of a response: exact at these prefixes, which are the data's and not the model's own samples.

    Args:
        policy: Samples and rewards; its baseline is to be leave-one-out.
        kl: Weight of the divergence, 0 or above, in units of reward a nat.

    Raises:
        ConfigurationError: ``kl`` is negative.
        MismatchError: ``policy`` does not return one sum and one count for each prompt.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> class FirstClass:  # rewarded with 1: J is its probability, and needs no samples
    ...     def surrogate(self, model, batch):
    ...         chance = model(batch).softmax(-1)[:, 0]
    ...         return -chance, torch.ones_like(chance)
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> value = RLOO(FirstClass(), kl=0.1)(model, batch, lambda: model)  # no divergence at the target
    >>> torch.allclose(value.sums, -model(batch).softmax(-1)[:, 0])
    True
    """

    role = "forget"
    needs_reference = True

    def __init__(self, policy: PolicyGradient, kl: float = 0.05) -> None:
        super().__init__()
        self.policy = policy
        self.kl = require_not_negative("kl", kl)

    def bind(self, datamodule: Any) -> None:
        """Hand the data module to a policy that takes prompts, tokenizer or rewards from one."""
        if hasattr(self.policy, "bind"):
            self.policy.bind(datamodule)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return the surrogate's sums [batch], with the divergence on them, and its counts [batch]."""
        target = require_reference(reference, self)
        if torch.is_grad_enabled() and hasattr(self.policy, "at"):
            self.policy.at(int(torch.randint(_ROUNDS, ())))
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        sums, counts = self.policy.surrogate(model, batch)
        logits, targets, mask = model.units(batch)
        if sums.shape != targets.shape[:1] or counts.shape != sums.shape:
            raise MismatchError(
                f"`policy` must return one sum and one count for each of the {len(targets)} prompts. Found shapes "
                f"{tuple(sums.shape)} and {tuple(counts.shape)}. Return two tensors [batch]."
            )
        with torch.no_grad():
            reference_logits, _, _ = target.units(batch)
        log_p, log_ref = logits.log_softmax(-1), reference_logits.log_softmax(-1)
        divergence = ((log_p.exp() * (log_p - log_ref)).sum(-1) * mask).sum(-1)
        # Weighed as the surrogate is, so that the loss is the mean of both over the same prompts.
        return PerSample(sums + self.kl * divergence * counts, counts)
