"""The LightningModules: one that unlearns, one that makes targets and retrained references."""

from unlearnkit.modules.finetuning import FinetuningModule
from unlearnkit.modules.lightning_host import LightningHost
from unlearnkit.modules.sharded import FSDP2
from unlearnkit.modules.unlearning import UnlearningModule

__all__ = ["FSDP2", "FinetuningModule", "LightningHost", "UnlearningModule"]
