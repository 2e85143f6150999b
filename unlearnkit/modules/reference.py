"""The reference model: the target as it was before the first round, and how a resumed run knows it again."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError, MismatchError
from unlearnkit.sharding import sharded_modules


@dataclass(frozen=True)
class TargetReference:
    """A frozen target with the fingerprint of what it answers from.

    Attributes:
        model: Offers ``losses``, ``counts`` and ``units``: a copy in eval mode without gradients, or a view of
            the model itself with its adapter off.
        fingerprint: Depends on the names, types, shapes and bytes of its parameters and buffers.
    """

    model: Any
    fingerprint: str

    @classmethod
    def of(cls, model: nn.Module) -> TargetReference:
        """Build the reference of a model that was not trained yet, before any restore and before sharding.

        A model with ``without_adapter()`` needs no copy where that returns something: then the frozen weights
        are the target. Where the adapter was trained already, the target is the two together, and is copied.

        Raises:
            ConfigurationError: The model is sharded already.

        >>> model = nn.Linear(2, 1)
        >>> reference = TargetReference.of(model)
        >>> reference.model is model, reference.model.training, reference.model.weight.requires_grad
        (False, False, False)
        """
        without_adapter = getattr(model, "without_adapter", None)
        view = without_adapter() if callable(without_adapter) else None
        if view is not None and getattr(view, "is_the_model", True):
            trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
            frozen = ((name, value) for name, value in model.state_dict().items() if name not in trained)
            return cls(view, fingerprint(frozen))
        if sharded_modules(model):
            raise ConfigurationError(
                "`model` must be whole when its frozen copy, the reference, is made. Found one that an earlier "
                "validate, test or predict has sharded. Build a new module for fit, or call fit first."
            )
        frozen_copy = copy.deepcopy(model).requires_grad_(False).eval()
        return cls(frozen_copy, fingerprint(frozen_copy.state_dict().items()))


def require_same_target(own: str, saved: str) -> None:
    """Refuse to go on with another target than the one that a checkpoint's run compared with.

    Args:
        own: The fingerprint of this run's reference.
        saved: The fingerprint in the checkpoint.

    Raises:
        MismatchError: They differ.
    """
    if own != saved:
        raise MismatchError(
            f"`model` must be the target that the resumed run unlearned from (reference {saved}). Found another one "
            f"(reference {own}): the objectives would compare with other answers from here on. Name the same model "
            "or folder, with the same seed and dtype, or start without the checkpoint."
        )


def fingerprint(tensors: Iterable[tuple[str, Any]]) -> str:
    """Return 16 hexadecimal digits that depend on names, types, shapes and bytes (some 2 GB/s).

    >>> one = fingerprint([("a", torch.zeros(2, 3))])
    >>> one == fingerprint([("a", torch.zeros(2, 3))]), one == fingerprint([("a", torch.zeros(3, 2))])
    (True, False)
    """
    digest = hashlib.sha256()
    for name, value in tensors:
        if isinstance(value, Tensor):
            digest.update(f"{name}/{value.dtype}/{tuple(value.shape)}/".encode())
            # Through bytes, because numpy knows no bfloat16.
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(content.numpy().data)
    return digest.hexdigest()[:16]
