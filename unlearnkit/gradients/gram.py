"""The 2x2 Gram matrix of the two gradients, from one pass over both, and their combination in place.

Signs (written once, here and in ``strategies/ngdiff.py``): both sides are minimised, so ``g_r`` and
``g_f`` are gradients of losses to descend; gradient ascent on L_F enters as ``g_f = -g_F``.
Conflict is ``g_r . g_f < 0``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from unlearnkit.sharding import local_part, replicas

CPU_BLOCK = 2**18
"""Elements per block on the CPU: two blocks stay in its cache, so the triple reads each gradient once."""

HALF = (torch.bfloat16, torch.float16)

DEVICE_BLOCK = 2**24
"""Elements per block elsewhere: few kernel launches, and a bounded fp32 copy of a bf16 block."""


@dataclass(frozen=True)
class Weights:
    """Factors of the two gradients in ``d = retain * g_r + forget * g_f``; 0-d tensors on the device."""

    retain: Tensor
    forget: Tensor


@dataclass(frozen=True)
class Gram:
    """Inner products of the two gradients, 0-d float64 tensors: ``rr = g_r.g_r``, ``ff``, ``rf``.

    >>> gram = gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([3.0, 4.0])])
    >>> gram.rr.item(), gram.ff.item(), gram.rf.item(), round(gram.cosine.item(), 3)
    (9.0, 25.0, 9.0, 0.6)
    """

    rr: Tensor
    ff: Tensor
    rf: Tensor

    @property
    def cosine(self) -> Tensor:
        """Cosine between the gradients, in [-1, 1]; 0 where one of them vanishes."""
        return (self.rf / (self.rr * self.ff).sqrt()).nan_to_num(0.0, 0.0, 0.0).clamp(-1.0, 1.0)

    def retain_effect(self, weights: Weights) -> Tensor:
        """``g_r . d``: first-order fall of the retain loss per unit of learning rate (eq. 5, first half)."""
        return weights.retain * self.rr + weights.forget * self.rf

    def forget_effect(self, weights: Weights) -> Tensor:
        """``g_f . d``: first-order fall of the forget loss per unit of learning rate (eq. 5, second half)."""
        return weights.retain * self.rf + weights.forget * self.ff

    def norm(self, weights: Weights) -> Tensor:
        """``|d|``, without forming d."""
        squared = weights.retain * self.retain_effect(weights) + weights.forget * self.forget_effect(weights)
        return squared.clamp_min(0.0).sqrt()


def _products(retain: Tensor, forget: Tensor) -> list[Tensor]:
    """Return ``g_r.g_r, g_f.g_f, g_r.g_f`` of each block of one tensor pair, one after the other."""
    a, b = retain.reshape(-1), forget.reshape(-1)
    block = CPU_BLOCK if a.is_cpu else DEVICE_BLOCK
    if a.numel() == b.numel() <= block:
        return _triple(a, b)
    blocks = zip(torch.split(a, block), torch.split(b, block), strict=True)
    return [product for x, y in blocks for product in _triple(x, y)]


def _triple(x: Tensor, y: Tensor) -> list[Tensor]:
    if x.dtype in HALF:
        x, y = x.float(), y.float()
    return [x.dot(x), y.dot(y), x.dot(y)]


def _summed(products: list[Tensor], device: torch.device) -> Tensor:
    """Add up the blocks' products in float64: ``[g_r.g_r, g_f.g_f, g_r.g_f]``."""
    if not products:
        return torch.zeros(3, dtype=torch.float64, device=device)
    return torch.stack(products).double().view(-1, 3).sum(0)


def gram_matrix(retain: list[Tensor], forget: list[Tensor]) -> Gram:
    """Compute the Gram matrix of two gradients given as lists, one tensor per parameter.

    Sharded parameters (FSDP2) are summed over ranks in one reduction of three numbers; replicated
    ones are counted once. bf16 and fp16 blocks are widened to fp32 before they are multiplied.

    Args:
        retain: Retain gradient, one tensor per parameter, any shapes.
        forget: Forget gradient, the same shapes in the same order.

    Returns:
        The three inner products, 0-d float64 tensors on the gradients' device.
    """
    whole: list[Tensor] = []
    parts: dict[int, list[Tensor]] = {}
    for g_r, g_f in zip(retain, forget, strict=True):
        copies = replicas(g_r)
        products = whole if copies is None else parts.setdefault(copies, [])
        products.extend(_products(local_part(g_r), local_part(g_f)))
    total = _summed(whole, local_part(retain[0]).device)
    if parts:
        shared = torch.stack([_summed(found, total.device) / copies for copies, found in parts.items()]).sum(
            0
        )
        dist.all_reduce(shared)
        total = total + shared
    rr, ff, rf = total.unbind()
    return Gram(rr, ff, rf)


@torch.no_grad()
def combine_(retain: list[Tensor], forget: list[Tensor], weights: Weights) -> list[Tensor]:
    """Form ``weights.retain * g_r + weights.forget * g_f`` in the memory of ``forget``.

    The weights stay on the device (no host synchronisation): one pass scales g_f, one adds g_r.

    Args:
        retain: Retain gradient, one tensor per parameter; left as it is.
        forget: Forget gradient; overwritten with the result.
        weights: The two factors.

    Returns:
        ``forget``, now the direction d.
    """
    factors: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
    # Backwards, because `gram_matrix` has just left the last tensors in the cache.
    for g_r, g_f in reversed(list(zip(retain, forget, strict=True))):
        a, b = local_part(g_r), local_part(g_f)
        if b.dtype not in factors:  # cast once, not once a tensor
            factors[b.dtype] = weights.retain.to(b.dtype), weights.forget.to(b.dtype)
        w_r, w_f = factors[b.dtype]
        b.mul_(w_f).addcmul_(a, w_r)
    return forget
