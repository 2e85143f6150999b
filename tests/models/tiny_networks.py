"""Tiny random networks whose greedy answers differ and end at different places."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

VOCABULARY, CONTEXT = 23, 64


def tiny(kind: str, attention: str = "sdpa") -> nn.Module:
    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=CONTEXT,
            attn_implementation=attention,
        )
        model: nn.Module = GPT2LMHeadModel(config)
    else:
        sizes = {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT,
            "attn_implementation": attention,
        }
        # A window shorter than the answers: its cache layer drops old keys.
        model = (
            MistralForCausalLM(MistralConfig(sliding_window=6, **sizes))
            if kind == "mistral"
            else LlamaForCausalLM(LlamaConfig(**sizes))
        )
    # Weights large enough for answers that differ and end at different places.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.6)
    return model
