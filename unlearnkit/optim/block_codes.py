"""Codes of 8 bits for blocks of numbers: the one place that knows torchao and bitsandbytes.

Both have the same code book, so that either reads what the other has written. On a CPU bitsandbytes finds the codes
several times as fast, and a few in a thousand of them are a neighbour of the nearest. Neither was tried on CUDA.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.errors import MissingDependencyError, UnknownNameError

BLOCK = 256
"""Elements that share a scale, the largest absolute value among them."""

Library = Literal["torchao", "bitsandbytes"]


COARSE = 1e-3
"""Part of the largest in a block below which codes lie closer together than bitsandbytes looks on a CPU."""


class BlockCodes:
    """The code book, and its nearest codes; libraries write and read them."""

    _library: Any

    def __init__(self) -> None:
        self._books: dict[tuple[bool, torch.device], tuple[Tensor, Tensor]] = {}

    def write(self, values: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        """Return integer codes [N] and scales, fp32 [N / 256], of fp32 values [N]."""
        raise NotImplementedError

    def read(self, codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
        """Return the fp32 values [N] that uint8 codes [N] and scales [N / 256] stand for."""
        raise NotImplementedError

    def _book(self, signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the values that the 256 codes stand for, in [-1, 1] or [0, 1], and the borders between them."""
        key = (signed, device)
        if key not in self._books:
            values = self._library.create_dynamic_map(signed=signed)
            book = torch.as_tensor(values, dtype=torch.float32, device=device)
            self._books[key] = book, (book[1:] + book[:-1]) / 2
        return self._books[key]

    def _nearest(self, scaled: Tensor, signed: bool) -> Tensor:
        """Return the code nearest to each number in [-1, 1]."""
        _, borders = self._book(signed, scaled.device)
        return torch.bucketize(scaled, borders, out_int32=True, right=True)


class TorchaoCodes(BlockCodes):
    """torchao's code book and scales, with its two searches written faster."""

    def __init__(self) -> None:
        super().__init__()
        with _importing("torchao"):
            from torchao.optim import quant_utils
        self._library = quant_utils

    def write(self, values: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        """Return codes and scales; each code is the nearest."""
        scaled, scales = self._library.scale_tensor(values, BLOCK)
        # Half the time of torchao's own, which searches in eight passes; the same codes.
        return self._nearest(scaled, signed), scales

    def read(self, codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
        """Return values."""
        values, _ = self._book(signed, codes.device)
        # A tenth of the time of torchao's own, which indexes by a tensor; the same bits.
        return values.index_select(0, codes.int()).view(-1, BLOCK).mul_(scales.view(-1, 1)).view(-1)


class BitsandbytesCodes(BlockCodes):
    """The compiled functions of bitsandbytes.

    Its CPU code looks in 2^16 equal parts of [-1, 1], in which zero, beside other numbers, becomes 2e-5 of the
    block's largest: parameters without a gradient would step by the rate. Numbers so small are looked up here.
    """

    def __init__(self) -> None:
        super().__init__()
        with _importing("bitsandbytes"):
            from bitsandbytes import functional
        self._library = functional

    def write(self, values: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        """Return codes and scales."""
        book, _ = self._book(signed, values.device)
        codes, found = self._library.quantize_blockwise(values, code=book, blocksize=BLOCK)
        scales: Tensor = found.absmax
        if values.is_cpu:
            small = (values.view(-1, BLOCK).abs() < COARSE * scales.view(-1, 1)).view(-1).nonzero().view(-1)
            codes[small] = self._nearest(values[small] / scales[small // BLOCK], signed).to(torch.uint8)
        return codes, scales

    def read(self, codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
        """Return values."""
        book, _ = self._book(signed, codes.device)
        values: Tensor = self._library.dequantize_blockwise(codes, absmax=scales, code=book, blocksize=BLOCK)
        return values


LIBRARIES: dict[str, type[TorchaoCodes] | type[BitsandbytesCodes]] = {
    "torchao": TorchaoCodes,
    "bitsandbytes": BitsandbytesCodes,
}


def block_codes(library: str) -> BlockCodes:
    """Return a library's codes; it is imported here.

    Raises:
        UnknownNameError: There is no such library.
        MissingDependencyError: It is not installed.

    >>> codes, scales = block_codes("torchao").write(torch.full((256,), -3.0), signed=True)
    >>> codes.shape, scales.tolist()
    (torch.Size([256]), [3.0])
    """
    require_library(library)
    return LIBRARIES[library]()


def require_library(library: str) -> None:
    """Refuse a library that is none of them.

    Raises:
        UnknownNameError: There is no such library.
    """
    if library not in LIBRARIES:
        raise UnknownNameError.among("state_library", str(library), LIBRARIES)


SAYINGS = {
    "torch.utils._pytree": "is an Enum subclass",
    "bitsandbytes.backends.cpu.ops": "gemm_4bit_forward",
}
"""What loggers say when torchao or bitsandbytes is imported, which nobody could act on here."""


@contextlib.contextmanager
def _importing(package: str) -> Iterator[None]:
    """Import in silence, and name the extra where the package is missing."""
    with contextlib.ExitStack() as after:
        for name, words in SAYINGS.items():
            logger = logging.getLogger(name)
            without = functools.partial(_is_without, words)
            logger.addFilter(without)
            after.callback(logger.removeFilter, without)
        try:
            yield
        except ImportError as error:
            raise MissingDependencyError.extra(package, "quant") from error


def _is_without(words: str, record: logging.LogRecord) -> bool:
    return words not in record.getMessage()
