"""Folders of diffusion models: components that plain diffusers reads, and what a DiffusionModel must know besides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unlearnkit.artifacts import atomic_folder, atomic_write_json, read_json
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ArtifactError, ConfigurationError, DataNotFoundError
from unlearnkit.models.denoising_networks import null_class, without_own_dropout
from unlearnkit.models.diffusion_library import diffusers_library

DESCRIPTION = "diffusion_model.json"

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class VAESource:
    """Where an autoencoder is: a folder or name on the hub, and the folder within it where there is one."""

    name: str
    subfolder: str | None = None


@dataclass(frozen=True)
class Parts:
    """What a folder holds.

    Attributes:
        network: Of diffusers.
        scheduler: Of diffusers, with the schedule it was trained with.
        vae: Where the autoencoder is, or None where there is none.
        traits: What the network was built for.
    """

    network: nn.Module
    scheduler: Any
    vae: VAESource | None
    traits: ImageTraits


def save_parts(folder: Path, network: Any, scheduler: Any, vae: Any | None, traits: ImageTraits) -> None:
    """Write a pipeline's folder, whole or not at all: ``network/``, ``scheduler/``, ``vae/`` and our description."""
    from unlearnkit.models.class_conditional_pipeline import ClassConditionalPipeline

    with atomic_folder(folder) as temporary:
        ClassConditionalPipeline(network=network, scheduler=scheduler, vae=vae).save_pretrained(temporary)
        atomic_write_json(temporary / DESCRIPTION, {"format": 1, **asdict(traits)})


def load_parts(name: str) -> Parts:
    """Load a folder that ``save_parts`` wrote, or a pipeline of DiT in a folder or on the hub.

    Raises:
        DataNotFoundError: There is neither, or the hub is out of reach.
        ArtifactError: The folder is not whole.
    """
    folder = Path(name).expanduser()
    if (folder / DESCRIPTION).is_file():
        return _own(folder)
    if folder.is_dir() and not (folder / "transformer").is_dir():
        raise DataNotFoundError(
            f"`name` must be a folder that a DiffusionModel was saved in, with {DESCRIPTION}, or one of a DiT pipeline "
            f"of diffusers, with transformer/. Found {name!r} without. Leave `name` unset to build a network."
        )
    diffusers = diffusers_library()
    try:
        network = _whole(diffusers.DiTTransformer2DModel, name, subfolder="transformer")
        scheduler = diffusers.DDIMScheduler.from_pretrained(name, subfolder="scheduler")
    except ArtifactError:
        raise
    except Exception as error:  # the hub's errors are of many kinds, and so are those of broken files
        raise DataNotFoundError(
            f"`name` must be a folder of a saved model, or a DiT pipeline of diffusers, e.g. facebook/DiT-XL-2-256. "
            f"Found {name!r}, which could not be loaded ({_first_line(error)}). Without a network, give the path of "
            "a folder, or use shape=dit-xl-2-256 for the same architecture with random weights."
        ) from error
    config: Any = network.config
    traits = ImageTraits(config.num_embeds_ada_norm, config.in_channels, config.sample_size)
    return Parts(without_own_dropout(network), scheduler, VAESource(name, "vae"), traits)


def _own(folder: Path) -> Parts:
    diffusers = diffusers_library()
    traits = _traits(folder / DESCRIPTION)
    kinds = {kind.__name__: kind for kind in (diffusers.UNet2DModel, diffusers.DiTTransformer2DModel)}
    found = read_json(folder / "network" / "config.json")
    kind = found.get("_class_name") if isinstance(found, dict) else None
    if kind not in kinds:
        raise ArtifactError(
            f"`name` must hold a network of kind {' or '.join(kinds)}. Found {kind!r} in {str(folder)!r}. "
            "Save the model again with this version."
        )
    try:
        network = _whole(kinds[kind], str(folder), subfolder="network")
        scheduler = diffusers.DDPMScheduler.from_pretrained(folder / "scheduler")
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"`name` must be a folder with whole weights. Found {str(folder)!r}, which cannot be read "
            f"({_first_line(error)}). Save the model again."
        ) from error
    own = (null_class(network), network.config.in_channels, network.config.sample_size)
    if own != (traits.classes, traits.channels, traits.height):
        raise ArtifactError(
            f"`name` must hold one model: classes, channels and height {own} of its network must be those of "
            f"{DESCRIPTION}. Found {(traits.classes, traits.channels, traits.height)} in {str(folder)!r}. Save the "
            "model again."
        )
    vae = VAESource(str(folder), "vae") if (folder / "vae").is_dir() else None
    return Parts(without_own_dropout(network), scheduler, vae, traits)


def _whole(kind: Any, name: str, subfolder: str) -> Any:
    """Load a network; diffusers itself would draw at random what the file lacks, and say so in a warning.

    Raises:
        ArtifactError: A weight is missing.
    """
    network, found = kind.from_pretrained(name, subfolder=subfolder, output_loading_info=True)
    missing = sorted(found["missing_keys"])
    if missing:
        raise ArtifactError(
            f"`{subfolder}` must hold all weights of a {kind.__name__}. Found none of {', '.join(missing[:3])}, which "
            f"makes {len(missing)} missing. Save the model again, or download it again."
        )
    return network


def _traits(path: Path) -> ImageTraits:
    found = read_json(path)
    known = found if isinstance(found, dict) else {}
    whole = all(isinstance(known.get(name), int) for name in ("classes", "channels", "height"))
    if known.get("format") != 1 or not whole:
        raise ArtifactError(
            f"`{path}` must describe a diffusion model in format 1, as DiffusionModel.save writes it. Found "
            f"{found!r}. Save or export the model again with this version."
        )
    return ImageTraits(known["classes"], known["channels"], known["height"])


def load_vae(source: VAESource, channels: int) -> Any:
    """Load an autoencoder, in eval mode and without gradients.

    Args:
        source: Where it is.
        channels: Of the latents that it is to decode.

    Raises:
        DataNotFoundError: It is not to be had.
        ConfigurationError: Its latents have another number of channels.
    """
    subfolder = {} if source.subfolder is None else {"subfolder": source.subfolder}
    try:
        vae = diffusers_library().AutoencoderKL.from_pretrained(source.name, **subfolder)
    except Exception as error:
        raise DataNotFoundError(
            f"`vae` must be a folder written by AutoencoderKL.save_pretrained, or a name on the hub, e.g. "
            f"stabilityai/sd-vae-ft-ema. Found {source.name!r}, which could not be loaded ({_first_line(error)}). "
            "Without a network, give the path of a folder, or train on pixels."
        ) from error
    if vae.config.latent_channels != channels:
        raise ConfigurationError(
            f"`vae` must have latents of {channels} channels, as the network does. Found "
            f"{vae.config.latent_channels} in {source.name!r}. Use the autoencoder that made the data."
        )
    return vae.requires_grad_(False).eval()


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
