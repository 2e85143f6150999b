"""Named architectures: the published sizes of a language model, whole or narrowed, with random weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import yaml

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.packaged import CONFIGS, shape_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Shape:
    """What a network is built from, weights apart.

    Attributes:
        name: What people call it.
        family: Model type of transformers.
        config: Its configuration; without ``vocab_size`` the vocabulary is the tokenizer's.
        parameters: Number of weights that was published, tied ones counted once; None where it was narrowed.
    """

    name: str
    family: str
    config: dict[str, Any]
    parameters: int | None = None

    @property
    def context(self) -> int:
        """Longest sequence, in tokens."""
        return int(self.config["max_position_embeddings"])

    def narrowed(self, width: int, layers: int) -> Shape:
        """Return the same architecture, small enough for a laptop.

        What makes the family stays: query heads per key-value head, the share of a head that is rotated, ALiBi,
        biases, tied embeddings, dropout, the ratio of the feed-forward layer, the context. There are two
        key-value heads, or four where each query head has its own.

        Args:
            width: Components of the hidden state.
            layers: Number of blocks.

        Raises:
            ConfigurationError: ``width`` is not below the published one, or no multiple of what the heads need.

        >>> small = read_shape("llama-3.2-1b").narrowed(64, layers=2)
        >>> small.config["num_attention_heads"], small.config["num_key_value_heads"]
        (8, 2)
        """
        published, heads = self.config["hidden_size"], self.config["num_attention_heads"]
        groups = self.config.get("num_key_value_heads", heads)
        queries = heads // groups
        groups = min(groups, max(2, 4 // queries))
        # Rotary positions turn components in pairs, and Phi rotates only half of each head.
        step = 4 * queries * groups
        if not 0 < width < published or width % step:
            fitting = step * max(1, min(width, published - 1) // step)
            raise ConfigurationError(
                f"`width` must be a multiple of {step} (4 for each of {queries * groups} heads) below "
                f"{published}, the full width of {self.name}. Found {width}. Use width={fitting}, or leave `width` "
                "unset for full width."
            )
        config = {name: value for name, value in self.config.items() if name != "vocab_size"}
        config |= {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": queries * groups,
        }
        if "num_key_value_heads" in config:
            config["num_key_value_heads"] = groups
        if "intermediate_size" in config:
            config["intermediate_size"] = config["intermediate_size"] * width // published
        return replace(self, config=config, parameters=None)

    def build(self, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype) -> PreTrainedModel:
        """Build the network with weights drawn from the global generator (on the meta device: none).

        Raises:
            ConfigurationError: The tokenizer has more tokens than the published vocabulary.
        """
        from transformers import AutoConfig, AutoModelForCausalLM

        published = self.config.get("vocab_size")
        if published is not None:
            require_room(published, tokenizer)
        special = {
            f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "bos", "eos")
        }
        sizes = {"vocab_size": len(tokenizer)} | self.config | special
        # transformers writes into the nested dictionaries that it is given.
        sizes = {name: dict(value) if isinstance(value, dict) else value for name, value in sizes.items()}
        config = AutoConfig.for_model(self.family, **sizes)
        # Drawn in fp32 and rounded, one seed gives one model in any type. At full width the fp32 draws might not
        # fit into memory.
        drawn = torch.float32 if published is None else dtype
        classes: Any = AutoModelForCausalLM
        network: PreTrainedModel = classes.from_config(config, dtype=drawn)
        for parameter in network.parameters():
            # Not `network.to(dtype)`, which would round the rotary frequencies too.
            parameter.data = parameter.data.to(dtype)
        return network


def read_shape(name: str) -> Shape:
    """Read a packaged architecture at full width.

    Raises:
        UnknownNameError: There is none of that name.

    >>> read_shape("gpt2-xl").parameters
    1557611200
    """
    if name not in shape_names():
        raise UnknownNameError.among("shape", name, shape_names())
    found = yaml.safe_load((CONFIGS / "shapes" / f"{name}.yaml").read_text(encoding="utf-8"))
    return Shape(name, found["family"], found["config"], found["parameters"])


def require_room(rows: int, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with more tokens than the embedding has rows.

    Raises:
        ConfigurationError: It has more.
    """
    if len(tokenizer) > rows:
        raise ConfigurationError(
            f"`tokenizer` must not have more tokens than the model's embedding ({rows}). "
            f"Found {len(tokenizer)}. Use the model's own tokenizer (leave `tokenizer` unset)."
        )
