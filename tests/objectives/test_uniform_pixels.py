"""UniformPixels: the images are forgotten for noise that only the key decides."""

from __future__ import annotations

import torch

from tests.objectives.tiny_diffusion import SHAPE, TinyDiffusion, diffusion_batch
from unlearnkit.keyed_draws import row_keys, uniform
from unlearnkit.objectives import UniformPixels
from unlearnkit.objectives.denoising import PIXELS


def test_equals_the_equation_written_naively():
    model, batch = TinyDiffusion(), diffusion_batch(5)
    value = UniformPixels()(model, batch)
    pixels = 2 * uniform(batch["keys"], PIXELS, SHAPE).double() - 1
    noised, steps, noise, _ = model.noised(batch | {"inputs": pixels})
    expected = ((model.predict(noised, steps, batch["targets"]) - noise) ** 2).sum((1, 2, 3))
    torch.testing.assert_close(value.sums, expected)
    assert value.counts.tolist() == [4] * 5


def test_no_class_is_dropped_and_no_image_is_looked_at():
    batch = diffusion_batch(20)
    value = UniformPixels()(TinyDiffusion(dropout=1.0), batch).sums
    other = batch | {"inputs": torch.zeros_like(batch["inputs"])}
    assert torch.equal(UniformPixels()(TinyDiffusion(dropout=0.0), other).sums, value)


def test_pixels_are_drawn_anew_in_each_round_and_are_uniform():
    seen = []

    class Watching(TinyDiffusion):
        def losses(self, batch):
            seen.append(batch["inputs"])
            return super().losses(batch)

    for round_ in range(2):
        keys = row_keys(0, round_, torch.arange(5000))
        UniformPixels()(Watching(), diffusion_batch(5000) | {"keys": keys})
    assert not torch.equal(*seen)
    pixels = torch.cat(seen).flatten()
    assert pixels.min() >= -1.0 and pixels.max() <= 1.0
    assert pixels.mean().abs() < 0.02 and abs(pixels.var().item() - 1 / 3) < 0.01
