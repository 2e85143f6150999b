"""Data modules: what is forgotten, what is kept, and in which order training sees it."""

from unlearnkit.datamodules.alternative_answers import alternative_prompt, write_alternatives
from unlearnkit.datamodules.base import EpochLength, ForgetRetainDataModule, TrainOn
from unlearnkit.datamodules.diffusion_images import DiffusionImages
from unlearnkit.datamodules.image_files import ImageSet, load_images
from unlearnkit.datamodules.image_selection import ForgetSet
from unlearnkit.datamodules.images import Images
from unlearnkit.datamodules.loader import RoundLoader
from unlearnkit.datamodules.muse import MUSE
from unlearnkit.datamodules.muse_files import load_muse
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.datamodules.people import People
from unlearnkit.datamodules.people_files import load_people
from unlearnkit.datamodules.preferences import Preferences
from unlearnkit.datamodules.preferences_fields import PreferencePair
from unlearnkit.datamodules.preferences_files import load_preferences
from unlearnkit.datamodules.preferences_rows import PreferenceRow
from unlearnkit.datamodules.preferences_split import Partition, partition
from unlearnkit.datamodules.sampler import RoundSampler
from unlearnkit.datamodules.text_blocks import Block, text_blocks
from unlearnkit.datamodules.tofu import TOFU
from unlearnkit.datamodules.tofu_files import load_tofu
from unlearnkit.datamodules.tokenization import Encoder
from unlearnkit.datamodules.tokenizer_files import load_tokenizer, save_tokenizer, train_bpe

__all__ = [
    "MUSE",
    "TOFU",
    "Block",
    "DiffusionImages",
    "Encoder",
    "EpochLength",
    "ForgetRetainDataModule",
    "ForgetSet",
    "ImageSet",
    "Images",
    "PairedDatasets",
    "Partition",
    "People",
    "PreferencePair",
    "PreferenceRow",
    "Preferences",
    "RoundLoader",
    "RoundSampler",
    "TrainOn",
    "alternative_prompt",
    "load_images",
    "load_muse",
    "load_people",
    "load_preferences",
    "load_tofu",
    "load_tokenizer",
    "partition",
    "save_tokenizer",
    "text_blocks",
    "train_bpe",
    "write_alternatives",
]
