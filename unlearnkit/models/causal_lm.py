"""CausalLM: any causal language model of transformers, a named architecture, or a small Llama from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from unlearnkit.artifacts import atomic_folder
from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError
from unlearnkit.models.generation import greedy
from unlearnkit.models.lora import LoRA, WithoutAdapter, attach, merged, peft_library
from unlearnkit.models.precision import widened
from unlearnkit.models.scoring import Score, score
from unlearnkit.models.shapes import Shape, read_shape, require_room
from unlearnkit.models.token_statistics import TokenStatistics, gradient_norms, token_statistics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTypeName = Literal["float32", "bfloat16", "float16"]


class CausalLM(nn.Module):
    """Wrap a transformers causal language model behind the one model protocol.

    With a name or a folder the weights are loaded; without one a named architecture (``shape``) or a small
    Llama is built from scratch as soon as the tokenizer, and with it the vocabulary, is known (``materialize``).
    Dtype and mode are set here, because ``from_pretrained`` keeps the checkpoint's dtype and returns
    eval mode: the network is in ``dtype`` and in train mode.

    Args:
        name: Name on the hub or folder; None builds from scratch.
        shape: Name of a packaged architecture (``unlearnkit list shapes``) to build with random weights.
        width: Components of the hidden state of a shape that is narrowed to run anywhere, with the tokenizer's
            vocabulary and ``layers`` blocks; None builds it as it was published.
        hidden_size: Width of the small Llama built where neither a name nor a shape is given.
        layers: Number of its blocks, or of those of a narrowed shape.
        heads: Number of its attention heads.
        intermediate_size: Width of its feed-forward layer; None takes 4 x ``hidden_size``.
        max_length: Its context, in tokens.
        dtype: Type of the weights.
        seed: Seed of the weights built from scratch, and of the adapter.
        lora: Adapter to train in place of the weights; None trains all of them.

    Raises:
        ConfigurationError: A size does not fit, or ``name``, ``shape`` and ``width`` contradict each other.
        DataNotFoundError: The name is neither a folder nor to be had from the hub.
        MissingDependencyError: ``lora`` is given, and peft is not installed.
        UnknownNameError: There is no such shape or layer, or ``dtype`` is none of float32, bfloat16, float16.
    """

    network: PreTrainedModel

    def __init__(
        self,
        name: str | None = None,
        *,
        shape: str | None = None,
        width: int | None = None,
        hidden_size: int = 128,
        layers: int = 2,
        heads: int = 4,
        intermediate_size: int | None = None,
        max_length: int = 256,
        dtype: DTypeName = "float32",
        seed: int = 0,
        lora: LoRA | None = None,
    ) -> None:
        super().__init__()
        _check_sizes(hidden_size, layers, heads, intermediate_size, max_length)
        if dtype not in get_args(DTypeName):
            raise UnknownNameError.among("dtype", dtype, get_args(DTypeName))
        if lora is not None:
            peft_library()  # missing, it is missed before anything is loaded
        self.name = name
        self.seed = seed
        self.lora = lora
        self.dtype_name: DTypeName = dtype
        self.sizes: dict[str, Any] = {
            "hidden_size": hidden_size,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "intermediate_size": intermediate_size or 4 * hidden_size,
            "max_position_embeddings": max_length,
        }
        self.shape = _shape(name, shape, width, layers, self.sizes)
        if name is not None:
            self._adopt(_load(name, dtype))

    def _adopt(self, network: PreTrainedModel) -> None:
        if self.lora is not None:
            attach(network, self.lora, self.seed)
        self.network = network.train()

    @property
    def built(self) -> bool:
        """Whether the network is there (from scratch, it waits for the vocabulary)."""
        return "network" in self._modules

    @property
    def context_length(self) -> int:
        """Longest sequence the network takes, in tokens."""
        if not self.built:
            return self.shape.context
        config: Any = self.network.config
        return int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 1024))

    def materialize(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Build the network from scratch for this tokenizer; a loaded or built one stays as it is.

        Raises:
            ConfigurationError: The tokenizer has more tokens than the network's embedding.
        """
        if self.built:
            embedding: Any = self.network.get_input_embeddings()
            require_room(embedding.weight.shape[0], tokenizer)
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.shape.build(tokenizer, getattr(torch, self.dtype_name))
        self._adopt(network)

    def without_adapter(self) -> WithoutAdapter | None:
        """Return the model as it was before its adapter, the reference for free; None where it has none."""
        return None if self.lora is None else WithoutAdapter(self)

    def shard_units(self) -> list[nn.Module]:
        """Return the transformer blocks, which FSDP2 shards one by one: the longest outermost list of modules."""
        lists = {name: part for name, part in self.named_modules() if isinstance(part, nn.ModuleList)}
        outermost = [
            part for name, part in lists.items() if not any(name.startswith(f"{other}.") for other in lists)
        ]
        return list(max(outermost, key=len, default=[]))

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return logits [batch, tokens, vocabulary] in the network's type; an empty batch has gradients of zero."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        size = len(ids)
        # Networks cannot reshape nothing, and a rank without a sample must do what the others do.
        if not size:
            ids = torch.zeros(1, max(ids.shape[1], 1), dtype=ids.dtype, device=ids.device)
            mask = torch.ones_like(ids)
        output = self.network(input_ids=ids, attention_mask=mask, use_cache=False)
        logits: Tensor = output.logits
        return logits if size else logits[:0]

    def token_losses(self, batch: TokenBatch) -> Tensor:
        """Return the negative log-likelihood of each next token, [batch, tokens - 1], nats, fp32.

        Positions that are not scored hold 0. Half-precision logits are widened to fp32 before the softmax.
        """
        # Shifting the labels, not the logits, spares two copies of the logits: the last one predicts nothing.
        targets = pad(batch["labels"][:, 1:], (0, 1), value=IGNORE)
        logits = widened(self(batch)).flatten(0, 1)
        flat = cross_entropy(logits, targets.flatten(), ignore_index=IGNORE, reduction="none")
        return flat.view(targets.shape)[:, :-1]

    def losses(self, batch: TokenBatch) -> Tensor:
        """Return each sequence's negative log-likelihood summed over its scored tokens, [batch], nats."""
        return self.token_losses(batch).sum(-1)

    def counts(self, batch: TokenBatch) -> Tensor:
        """Return the number of scored tokens of each sequence, [batch]."""
        return (batch["labels"][:, 1:] != IGNORE).sum(-1)

    def units(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return shifted fp32 logits [batch, tokens - 1, vocabulary], targets and mask [batch, tokens - 1]."""
        targets = batch["labels"][:, 1:]
        return widened(self(batch)[:, :-1]), targets.clamp_min(0), targets != IGNORE

    def hidden_states(self, batch: TokenBatch, layer: int) -> tuple[Tensor, Tensor]:
        """Return a block's output [batch, tokens, width], and the mask of answer tokens [batch, tokens].

        The whole network runs and takes part in the backward pass, with zeros: DDP waits for every gradient.

        Args:
            batch: Token sequences; the mask is where labels are, not shifted.
            layer: Number of the block, from 0.

        Raises:
            ConfigurationError: There is no such block.
        """
        blocks = self.shard_units()
        if not 0 <= layer < len(blocks):
            raise ConfigurationError(
                f"`layer` must be from 0 to {len(blocks) - 1}, the model's transformer blocks. Found {layer}. "
                f"Use layer={len(blocks) // 4}, about the quarter of the depth where RMU acts on 7B models."
            )
        seen: list[Any] = []
        hook = blocks[layer].register_forward_hook(lambda block, inputs, output: seen.append(output))
        try:
            logits = self(batch)
        finally:
            hook.remove()
        hidden: Tensor = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
        return hidden[: len(logits)] + 0.0 * logits[:1, :1, :1].sum().to(hidden.dtype), batch[
            "labels"
        ] != IGNORE

    def score_ids(
        self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int = 4096
    ) -> list[Score]:
        """Score each answer given its prompt, in length-bucketed batches; results in the order given."""
        return score(self.network, sequences, context_length=self.context_length, batch_tokens=batch_tokens)

    def token_statistics_ids(
        self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int = 4096
    ) -> list[TokenStatistics]:
        """Return log-probabilities and z-scores of each answer's tokens; results in the order given."""
        return token_statistics(
            self.network, sequences, context_length=self.context_length, batch_tokens=batch_tokens
        )

    def gradient_norms_ids(self, sequences: list[tuple[list[int], list[int]]]) -> list[float]:
        """Return the mean over parameters of the norm of each answer's gradient; results in the order given."""
        return gradient_norms(self.network, sequences, context_length=self.context_length)

    def generate_ids(self, prompts: list[list[int]], max_new_tokens: int, eos_id: int) -> list[list[int]]:
        """Continue each prompt greedily, up to and without EOS; results in the order of the prompts."""
        limit = self.context_length
        new = greedy(
            self.network, prompts, max_new_tokens=max_new_tokens, eos_id=eos_id, context_length=limit
        )
        return list(new)

    def predictions(self, batch: TokenBatch, max_new_tokens: int, eos_id: int) -> list[list[int]]:
        """Continue the prompt part of each sequence of a batch."""
        rows = zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
        prompts = [ids[(mask == 1) & (labels == IGNORE)].tolist() for ids, mask, labels in rows]
        return self.generate_ids(prompts, max_new_tokens, eos_id)

    def save(self, folder: str | Path, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Write a plain ``from_pretrained`` folder in safetensors, an adapter merged, whole or not at all."""
        with atomic_folder(Path(folder)) as temporary:
            (self.network if self.lora is None else merged(self.network)).save_pretrained(temporary)
            if tokenizer is not None:
                tokenizer.save_pretrained(str(temporary))


def _check_sizes(
    hidden_size: int, layers: int, heads: int, intermediate_size: int | None, max_length: int
) -> None:
    sizes = {"hidden_size": hidden_size, "layers": layers, "heads": heads, "max_length": max_length}
    if intermediate_size is not None:
        sizes["intermediate_size"] = intermediate_size
    for name, value in sizes.items():
        if value < 1:
            raise ConfigurationError(f"`{name}` must be 1 or above. Found {value}. Give a positive number.")
    if hidden_size % (2 * heads):
        # Rotary position embeddings turn the components of each head in pairs.
        raise ConfigurationError(
            f"`hidden_size` must be a multiple of 2 x `heads` ({2 * heads}). Found {hidden_size}. "
            f"Use hidden_size={2 * heads * max(1, hidden_size // (2 * heads))}."
        )


def _shape(
    name: str | None, shape: str | None, width: int | None, layers: int, sizes: dict[str, Any]
) -> Shape:
    """Return what is built where no name is given: a named architecture, or a small Llama of these sizes."""
    if name is not None and shape is not None:
        raise ConfigurationError(
            f"`name` and `shape` must not both be given: one loads weights, the other draws them. Found {name!r} "
            f"and {shape!r}. Leave one of them unset."
        )
    if shape is None:
        if width is not None:
            raise ConfigurationError(
                f"`width` must go with `shape`, which it narrows. Found width={width} alone. Name a shape, or use "
                "`hidden_size` for the small Llama."
            )
        return Shape("a small Llama", "llama", {**sizes, "tie_word_embeddings": True})
    full = read_shape(shape)
    return full if width is None else full.narrowed(width, layers)


def _load(name: str, dtype: DTypeName) -> Any:
    """Load a network by name or folder."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError, SafetensorError) as error:
        raise DataNotFoundError(
            f"`name` must be a folder written by save_pretrained or a model name on the hub. Found {name!r}, "
            f"which could not be loaded ({str(error).partition(chr(10))[0]}). Without a network, give the path of "
            "a folder, or leave `name` unset to build a small Llama from scratch."
        ) from error
