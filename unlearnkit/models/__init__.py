"""Thin modules around the networks of transformers, timm, torchvision and diffusers."""

from unlearnkit.models.causal_lm import CausalLM
from unlearnkit.models.criterion import WithCriterion

__all__ = ["CausalLM", "WithCriterion"]
