"""The LightningModules: one that unlearns, one that makes targets and retrained references."""

from unlearnkit.modules.finetuning import FinetuningModule
from unlearnkit.modules.lightning_host import LightningHost
from unlearnkit.modules.unlearning import UnlearningModule

__all__ = ["FinetuningModule", "LightningHost", "UnlearningModule"]
