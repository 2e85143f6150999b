"""Thin modules around the networks of transformers, timm, torchvision and diffusers."""

from unlearnkit.models.causal_lm import CausalLM
from unlearnkit.models.criterion import WithCriterion
from unlearnkit.models.diffusion_model import DiffusionModel
from unlearnkit.models.held_out_classifier import HeldOutClassifier
from unlearnkit.models.image_classifier import ImageClassifier
from unlearnkit.models.lora import LoRA

__all__ = ["CausalLM", "DiffusionModel", "HeldOutClassifier", "ImageClassifier", "LoRA", "WithCriterion"]
