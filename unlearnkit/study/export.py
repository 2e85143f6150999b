"""export: a run's folder becomes a plain folder in safetensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from torch import nn

import unlearnkit.models  # noqa: F401  (short class names in YAML resolve to imported classes)
from unlearnkit.artifacts import atomic_folder, read_json
from unlearnkit.batches import TRAITS, ImageTraits
from unlearnkit.errors import ArtifactError, ConfigurationError
from unlearnkit.modules.checkpoints import read_weights


def export_run(run: str | Path, out: str | Path) -> Path:
    """Write the model of a run as a folder: one that ``from_pretrained`` reads, or ``ImageClassifier(name=...)``.

    Args:
        run: Folder of a run: one method of ``compare``, or the log folder of ``unlearnkit fit``, of which the
            checkpoint written last is taken; or one checkpoint in it, a file or a distributed one's folder.
        out: Folder to write; it must not exist yet.

    Returns:
        The folder written.

    Raises:
        ArtifactError: The run has neither a model nor a whole checkpoint with its configuration.
        ConfigurationError: ``out`` exists already.
    """
    source, target = Path(run), Path(out)
    if target.exists():
        raise ConfigurationError(
            f"`out` must be a new folder, so that nothing is overwritten. Found {str(target)!r}, which exists. "
            "Name another one."
        )
    if (source / "model").is_dir():
        with atomic_folder(target) as temporary:
            shutil.copytree(source / "model", temporary, dirs_exist_ok=True)
        return target
    checkpoint = newest_checkpoint(source)
    if source == checkpoint:
        # Checkpoints lie in a folder below the configuration of their run.
        source = next((above for above in source.parents if (above / "config.yaml").exists()), source.parent)
    config = source / "config.yaml"
    if not config.exists():
        raise ArtifactError(
            f"`run` must hold config.yaml beside its checkpoint. Found none in {str(source)!r}. "
            "Give the log folder of the run, e.g. runs/tofu/ngdiff/version_0."
        )
    state = read_weights(checkpoint, "run")
    model, tokenizer = _rebuild(yaml.safe_load(config.read_text("utf-8")), source)
    prefix = "model."
    model.load_state_dict(
        {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    )
    model.save(target, tokenizer)
    return target


def newest_checkpoint(folder: Path) -> Path:
    """Return the checkpoint of a run that was written last, or what is itself named as a checkpoint.

    Raises:
        ArtifactError: There is none.
    """
    if folder.suffix == ".ckpt":
        return folder
    found = sorted(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ArtifactError(
            f"`run` must be the folder of a run, with model/ or a checkpoint in it. Found neither in {str(folder)!r}. "
            "Runs of `compare` lie in <out>/seed<k>/<method>, those of `fit` in runs/<config>/version_<k>."
        )
    return found[-1]


def _rebuild(config: dict[str, Any], run: Path) -> tuple[Any, Any]:
    """Build the run's model, without weights that matter, for its tokenizer or images."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(nn.Module, "model", required=True)
    section = config["model"]["init_args"]["model"]
    model = parser.instantiate(parser.parse_object({"model": section})).model
    tokenizer = None
    if (run / "tokenizer").is_dir():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
        model.materialize(tokenizer)
    if (run / TRAITS).is_file():
        model.materialize(_traits(run / TRAITS), weights=False)  # the checkpoint's take the place of any
    if not hasattr(model, "save"):
        raise ConfigurationError(
            f"`run` must be of a model that can be saved as a folder. Found {type(model).__name__}. "
            "Load its checkpoint with torch.load instead."
        )
    return model, tokenizer


def _traits(path: Path) -> ImageTraits:
    """Read what a run's images are like.

    Raises:
        ArtifactError: The file says something else.
    """
    found = read_json(path)
    wanted = {"classes", "channels", "height"}
    if (
        not isinstance(found, dict)
        or set(found) != wanted
        or not all(isinstance(v, int) for v in found.values())
    ):
        raise ArtifactError(
            f"`{path}` must hold the numbers classes, channels and height of the run's images. Found {found!r}. "
            "Write them in as the data have them, or run `fit` again."
        )
    return ImageTraits(**found)
