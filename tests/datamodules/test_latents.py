"""Latents: encoded once, kept whole under a name of data and weights, refused where they cannot be."""

from __future__ import annotations

import pytest
import torch

from tests.datamodules.autoencoders import tiny_autoencoder
from unlearnkit.datamodules.image_files import ImageSet
from unlearnkit.datamodules.latents import Encoder
from unlearnkit.errors import ConfigurationError, DataNotFoundError


def images(n=40, channels=3, height=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, channels, height, height), generator=generator, dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(n) % 2, ("a", "b"))


@pytest.fixture
def encoder(tmp_path):
    tiny_autoencoder(tmp_path / "vae")
    return Encoder(str(tmp_path / "vae"), str(tmp_path / "kept"))


def test_latents_are_scaled_means_whatever_the_batches(encoder):
    found, own = encoder.latents(images()), images()
    want = encoder.vae.encode(own.images / 127.5 - 1).latent_dist.mean * encoder.vae.config.scaling_factor
    torch.testing.assert_close(found, want)
    assert found.shape == (40, 4, 4, 4) and not found.requires_grad


def test_they_are_made_once(encoder, monkeypatch):
    first = encoder.latents(images())
    monkeypatch.setattr(encoder, "_encoded", lambda images: pytest.fail("it was made again"))
    assert torch.equal(encoder.latents(images()), first)
    assert len(list(encoder.folder.iterdir())) == 1, "no temporary file is left"


def test_other_images_and_other_weights_have_files_of_their_own(encoder, tmp_path):
    encoder.latents(images())
    encoder.latents(images(seed=1))
    tiny_autoencoder(tmp_path / "other", seed=1)
    other = Encoder(str(tmp_path / "other"), str(tmp_path / "kept"))
    assert other.digest() != encoder.digest()
    assert not torch.equal(other.latents(images()), encoder.latents(images()))
    assert len(list(encoder.folder.iterdir())) == 3


def test_a_broken_file_is_made_again(encoder):
    first = encoder.latents(images())
    file = next(encoder.folder.iterdir())
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(encoder.latents(images()), first)
    assert torch.equal(encoder.latents(images()), first)


def test_nothing_is_left_of_a_file_that_could_not_be_written(encoder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("unlearnkit.datamodules.latents.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        encoder.latents(images())
    assert not list(encoder.folder.iterdir())


def test_the_default_folder_is_the_users_cache(encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Encoder(str(tmp_path / "vae")).latents(images())
    assert len(list((tmp_path / "cache/unlearnkit/latents").iterdir())) == 1


@pytest.mark.parametrize(
    ("wrong", "found"), [({"channels": 1}, "1 channels and a height of 8"), ({"height": 9}, "a height of 9")]
)
def test_images_that_it_does_not_take_are_refused(encoder, wrong, found):
    with pytest.raises(
        ConfigurationError, match=f"`vae` must take the images: 3 channels, a height.*multiple of 2.*{found}"
    ):
        encoder.latents(images(**wrong))


def test_an_autoencoder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match="`vae` must be a folder of an autoencoder"):
        Encoder(str(tmp_path / "empty"))
