"""Codes of both libraries: the same book, the nearest codes or nearly so, and how a missing one is named."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
import torch

from unlearnkit.errors import MissingDependencyError
from unlearnkit.optim.block_codes import (
    BLOCK,
    LIBRARIES,
    SAYINGS,
    BitsandbytesCodes,
    TorchaoCodes,
    block_codes,
)


def numbers(signed: bool) -> torch.Tensor:
    """Return blocks over many decades, one of zeros, and one with a single number."""
    values = torch.randn(64 * BLOCK, generator=torch.Generator().manual_seed(0)).pow(3)
    values[:BLOCK] = 0
    values[BLOCK : 2 * BLOCK] = 0
    values[BLOCK + 7] = 1e-8
    return values if signed else values.abs()


@pytest.mark.parametrize("signed", [False, True])
def test_codes_and_values_are_those_of_torchao(signed: bool) -> None:
    ours, values = TorchaoCodes(), numbers(signed)
    library: Any = ours._library
    codes, scales = ours.write(values, signed)
    scaled, theirs = library.scale_tensor(values, BLOCK)
    book = torch.tensor(library.create_dynamic_map(signed=signed))
    assert torch.equal(codes, library.quantize_8bit_with_qmap(scaled, book).int())
    assert torch.equal(scales, theirs)
    assert torch.equal(ours.read(codes, scales, signed), library.dequant_with_qmap(codes, book, scales))


@pytest.mark.parametrize("signed", [False, True])
def test_both_libraries_have_one_code_book(signed: bool) -> None:
    every = torch.arange(256, dtype=torch.uint8)
    scales = torch.tensor([0.7])
    first, second = (block_codes(name).read(every, scales, signed) for name in LIBRARIES)
    assert torch.equal(first, second)
    assert first.diff().min() > 0 and first.max() == scales


@pytest.mark.parametrize("signed", [False, True])
def test_codes_of_bitsandbytes_are_the_nearest_or_beside_it(signed: bool) -> None:
    values = numbers(signed)
    codes, scales = BitsandbytesCodes().write(values, signed)
    nearest, theirs = TorchaoCodes().write(values, signed)
    assert codes.dtype == torch.uint8
    torch.testing.assert_close(scales, theirs, rtol=1e-6, atol=1e-11)  # torchao's zeros have a scale of 1e-12
    apart = (codes.int() - nearest)[2 * BLOCK :].abs()
    assert apart.max() <= 1
    found, best = (block_codes("torchao").read(c, scales, signed) for c in (codes, nearest))
    assert (found - values).norm() < 1.001 * (best - values).norm()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("signed", [False, True])
def test_zero_stays_zero_and_small_numbers_keep_their_sign(library: Any, signed: bool) -> None:
    """Where zero became a small number, parameters without a gradient would step by about the rate."""
    values = numbers(signed)
    book = block_codes(library)
    found = book.read(*book.write(values, signed), signed)
    assert not found[:BLOCK].any()
    assert found[BLOCK + 7] == values[BLOCK + 7] and found[BLOCK : 2 * BLOCK].count_nonzero() == 1
    decades = torch.logspace(-9, 0, BLOCK) * (-1.0 if signed else 1.0)
    found = book.read(*book.write(decades, signed), signed)
    assert (found * decades >= 0).all()
    assert not found[decades.abs() < 1e-7].any()
    assert found[decades.abs() > 1e-6].all()


@pytest.mark.parametrize("package", LIBRARIES)
def test_without_the_library_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingDependencyError, match=rf"'{package}'.*pip install 'unlearnkit\[quant\]'"):
        block_codes(package)


@pytest.mark.parametrize("logger", SAYINGS)
def test_what_a_logger_says_at_other_times_is_kept(logger: str, caplog: pytest.LogCaptureFixture) -> None:
    for library in LIBRARIES:
        block_codes(library)
    # A command run before in this process has asked for errors alone.
    caplog.set_level(logging.WARNING, logger=logger)
    logging.getLogger(logger).warning("%s and so on", SAYINGS[logger])
    assert len(caplog.records) == 1
