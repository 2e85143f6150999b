"""LoRA: small trainable matrices beside frozen weights, which can be merged or switched off."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unlearnkit.batches import TokenBatch
from unlearnkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from unlearnkit.host import eval_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from unlearnkit.models.causal_lm import CausalLM


@dataclass(frozen=True)
class LoRA:
    """How a network is adapted: ``W x + alpha / rank * B A dropout(x)``, of which only A and B are trained.

    Attributes:
        rank: Rows of A and columns of B.
        alpha: Scale of the adapter, divided by the rank.
        dropout: Share of the adapter's inputs that are dropped in train mode.
        target_modules: Names of the linear layers to adapt, e.g. ``("q_proj", "v_proj")``, or their endings;
            None adapts all but the output layer.

    Raises:
        ConfigurationError: A number is out of its range.

    >>> LoRA(rank=4).alpha
    16.0
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigurationError(f"`rank` must be 1 or above. Found {self.rank}. Use e.g. rank=8.")
        if not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise ConfigurationError(
                f"`alpha` must be a finite number above 0. Found {self.alpha}. Use e.g. alpha=16."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigurationError(
                f"`dropout` must be 0 or above and below 1. Found {self.dropout}. Use 0 for none."
            )
        if self.target_modules is not None and not self.target_modules:
            raise ConfigurationError(
                "`target_modules` must name at least one layer. Found none. Leave it unset for all linear layers."
            )


def peft_library() -> Any:
    """Import peft.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError.extra("peft", "lora") from error
    return peft


def attach(network: PreTrainedModel, lora: LoRA, seed: int) -> None:
    """Put adapters beside the linear layers of a network, in place; everything else is frozen.

    The network keeps its class, so generation, scoring and its output layer are found as before. Beside
    half-precision weights the adapters are in fp32.

    Args:
        network: Causal language model of transformers.
        lora: What to attach.
        seed: Seed of A; B starts at zero, so that the outputs are those of the plain network.

    Raises:
        MissingDependencyError: peft is not installed.
        UnknownNameError: A name in ``target_modules`` is that of no linear layer.
    """
    from transformers.pytorch_utils import Conv1D

    peft = peft_library()
    chosen = _targets(network, lora.target_modules)
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=chosen,
        fan_in_fan_out=any(isinstance(network.get_submodule(name), Conv1D) for name in chosen),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, network)
    for parameter in network.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            # Small steps would be rounded away; an adapter is cheap enough for all its digits.
            parameter.data = parameter.data.float()


def _targets(network: Any, wanted: tuple[str, ...] | None) -> list[str]:
    """Return the full names of the layers to adapt."""
    from transformers.pytorch_utils import Conv1D

    head, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    tied = head is not None and head.weight is embedding.weight
    linear = {
        name: module
        for name, module in network.named_modules()
        # Merged into a tied output layer, the adapter would change the embedding as well.
        if isinstance(module, (nn.Linear, Conv1D)) and not (tied and module is head)
    }
    if wanted is None:
        return [name for name, module in linear.items() if module is not head]
    for ending in wanted:
        if not any(_ends(name, ending) for name in linear):
            raise UnknownNameError.among(
                "target_modules", ending, {name.rpartition(".")[2] for name in linear}
            )
    return [name for name in linear if any(_ends(name, ending) for ending in wanted)]


def _ends(name: str, ending: str) -> bool:
    return f".{name}".endswith(f".{ending}")


def merged(network: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of an adapted network with the adapters added to its weights: plain transformers again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(network)
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            plain.set_submodule(name, module.get_base_layer())
    return plain


@contextmanager
def switched_off(network: nn.Module) -> Iterator[None]:
    """Compute as if there were no adapter inside the block; each layer then gets its own state back."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in network.modules() if isinstance(module, BaseTunerLayer)]
    states = [layer.disable_adapters for layer in layers]
    # peft's own switch, `enable_adapters`, also sets `requires_grad`: it would thaw what somebody froze, and
    # FSDP2 makes its gathered parameters after the first `requires_grad` that it sees.
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer, state in zip(layers, states, strict=True):
            layer._disable_adapters = state


class WithoutAdapter:
    """A view of an adapted model: what it was before its adapter, in eval mode, at no memory.

    It is no ``nn.Module``, so that keeping it registers nothing. Gradients are the caller's matter.

    Args:
        model: The adapted model; each call leaves it as it was, its mode and its adapter included.
    """

    def __init__(self, model: CausalLM) -> None:
        self._model = model

    @property
    def is_the_model(self) -> bool:
        """Whether the adapter adds nothing yet (its B is zero), so that the view answers as the model does."""
        named = self._model.network.named_parameters()
        return not any(bool(parameter.any()) for name, parameter in named if ".lora_B." in name)

    @contextmanager
    def _before(self) -> Iterator[CausalLM]:
        with eval_mode(self._model), switched_off(self._model.network):
            yield self._model

    def __call__(self, batch: TokenBatch) -> Tensor:
        """Return logits [batch, tokens, vocabulary] in the network's type."""
        with self._before() as model:
            logits: Tensor = model(batch)
        return logits

    def token_losses(self, batch: TokenBatch) -> Tensor:
        """Return the negative log-likelihood of each next token, [batch, tokens - 1], nats, fp32."""
        with self._before() as model:
            return model.token_losses(batch)

    def losses(self, batch: TokenBatch) -> Tensor:
        """Return each sequence's negative log-likelihood summed over its scored tokens, [batch], nats."""
        with self._before() as model:
            return model.losses(batch)

    def counts(self, batch: TokenBatch) -> Tensor:
        """Return the number of scored tokens of each sequence, [batch]."""
        return self._model.counts(batch)

    def units(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return shifted fp32 logits [batch, tokens - 1, vocabulary], targets and mask [batch, tokens - 1]."""
        with self._before() as model:
            return model.units(batch)

    def hidden_states(self, batch: TokenBatch, layer: int) -> tuple[Tensor, Tensor]:
        """Return a block's output [batch, tokens, width], and the mask of answer tokens [batch, tokens]."""
        with self._before() as model:
            return model.hidden_states(batch, layer)
