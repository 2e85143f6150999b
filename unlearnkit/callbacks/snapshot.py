"""Snapshot: everything a round changes, copied and put back bit for bit, shard by shard under FSDP2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.sharding import local_part, reshard, sharded_modules


class Snapshot:
    """A copy of parameters, the optimizer's state and the buffers of model, strategy and objectives.

    Each process copies what it holds itself: nothing is exchanged. Counters, schedules and the draw of data are no
    part of it, because rounds go on.

    Args:
        parameters: Parts of the trainable parameters, in the order of ``host.parameters``.
        optimizer: For each of them the optimizer's state by name; tensors are copies.
        buffers: Parts of the buffers, in their order.

    >>> Snapshot([torch.ones(2)], [{"step": 3}], []).named()
    {'parameters.0': tensor([1., 1.]), 'optimizer.0.step': 3}
    """

    def __init__(
        self, parameters: list[Tensor], optimizer: list[dict[str, Any]], buffers: list[Tensor]
    ) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self.buffers = buffers

    @classmethod
    def take(cls, module: Any, offload: bool = False) -> Snapshot:
        """Copy the state of an UnlearningModule inside a run.

        Args:
            module: The module.
            offload: Whether the copies go to the CPU's memory.
        """

        def copied(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return _copy(local_part(value).detach(), torch.device("cpu") if offload else value.device)

        return cls.from_named({name: copied(value) for name, value in live(module).named().items()})

    @torch.no_grad()
    def restore(self, module: Any) -> None:
        """Write the copies back; state that the optimizer did not have then is dropped."""
        reshard(sharded_modules(module.model))
        parameters = module.host.parameters
        for parameter, saved in zip(parameters, self.parameters, strict=True):
            local_part(parameter).copy_(saved)
            parameter.grad = None
        for buffer, saved in zip(_buffers(module), self.buffers, strict=True):
            local_part(buffer).copy_(saved)
        states = _optimizer(module).state
        for parameter, own in zip(parameters, self.optimizer, strict=True):
            now = states.pop(parameter, {})
            if own:
                states[parameter] = {name: _put_back(now.get(name), value) for name, value in own.items()}

    def on_cpu(self) -> Snapshot:
        """Return it in the CPU's memory."""
        cpu = torch.device("cpu")
        return Snapshot.from_named(
            {
                name: _copy(part, cpu) if isinstance(part, Tensor) and not part.is_cpu else part
                for name, part in self.named().items()
            }
        )

    def named(self) -> dict[str, Any]:
        """Return its parts by name, as a checkpoint keeps them."""
        states = {f"{i}.{name}": value for i, own in enumerate(self.optimizer) for name, value in own.items()}
        return {
            **{f"parameters.{i}": part for i, part in enumerate(self.parameters)},
            **{f"optimizer.{name}": value for name, value in states.items()},
            **{f"buffers.{i}": part for i, part in enumerate(self.buffers)},
        }

    @classmethod
    def from_named(cls, parts: dict[str, Any]) -> Snapshot:
        """Make one of what ``named`` returned, in any order."""

        def listed(kind: str) -> list[Tensor]:
            count = sum(name.startswith(f"{kind}.") for name in parts)
            return [parts[f"{kind}.{i}"] for i in range(count)]

        parameters = listed("parameters")
        states: list[dict[str, Any]] = [{} for _ in parameters]
        for name, value in parts.items():
            kind, place, *state = name.split(".", 2)
            if kind == "optimizer":
                states[int(place)][state[0]] = value
        return cls(parameters, states, listed("buffers"))


def live(module: Any) -> Snapshot:
    """Return the state of a module inside a run itself, nothing copied."""
    parameters = module.host.parameters
    states = _optimizer(module).state
    own = [dict(states[p]) if p in states else {} for p in parameters]
    return Snapshot(parameters, own, _buffers(module))


def _copy(part: Any, device: torch.device) -> Tensor:
    """Return a copy; of a state in 8 bits the tensors that it is made of, because it cannot be cloned itself."""
    if not hasattr(part, "__tensor_flatten__"):
        copied: Tensor = part.to(device, copy=True)
        return copied
    names, context = part.__tensor_flatten__()
    inner = {name: _copy(getattr(part, name), device) for name in names}
    made: Tensor = type(part).__tensor_unflatten__(inner, context, part.shape, part.stride())
    return made


def _put_back(now: Any, saved: Any) -> Any:
    """Return a saved value in the tensor that is there, which knows its device and shards."""
    if isinstance(now, Tensor) and isinstance(saved, Tensor):
        local_part(now).copy_(saved)
        return now
    return _copy(saved, saved.device) if isinstance(saved, Tensor) else saved


def _optimizer(module: Any) -> torch.optim.Optimizer:
    found: torch.optim.Optimizer = module.trainer.optimizers[0]
    return found


def _buffers(module: Any) -> list[Tensor]:
    """Return the buffers that a round may change: batch statistics, running means, weights of samples."""
    return [b for part in (module.model, module.strategy, module.objectives) for b in part.buffers()]
