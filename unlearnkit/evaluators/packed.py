"""A matrix of probabilities inside a JSON file: base64, half precision, so that results of many classes stay small."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearnkit.errors import ArtifactError

TYPE = "<f2"
"""Half precision, least significant byte first: 2 bytes a number, to 5e-4 of it; below 6e-8 it is 0."""


def pack(values: Tensor) -> dict[str, Any]:
    """Return a tensor of probabilities as a JSON-able dictionary; NaN stays NaN.

    >>> pack(torch.tensor([[0.25, 0.75]]))
    {'type': '<f2', 'shape': [1, 2], 'base64': 'ADQAOg=='}
    """
    numbers = values.detach().cpu().numpy().astype(TYPE)
    return {
        "type": TYPE,
        "shape": list(values.shape),
        "base64": base64.b64encode(numbers.tobytes()).decode(),
    }


def unpack(packed: Any) -> Tensor:
    """Return the tensor, float32.

    Raises:
        ArtifactError: It is not what ``pack`` returned, or not whole.

    >>> unpack(pack(torch.tensor([[0.25, 0.75]]))).tolist()
    [[0.25, 0.75]]
    """
    try:
        content = base64.b64decode(packed["base64"], validate=True)
        numbers = np.frombuffer(content, packed["type"]).reshape(packed["shape"])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ArtifactError(
            f"`packed` must be what `pack` returned, whole. Found another content ({error}). Evaluate that model again."
        ) from error
    return torch.from_numpy(numbers.astype(np.float32))


def pack_images(images: Tensor) -> dict[str, Any]:
    """Return images of bytes as a JSON-able dictionary: compressed without loss.

    >>> unpack_images(pack_images(torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2))).flatten().tolist()
    [0, 1, 2, 3]
    """
    content = zlib.compress(images.cpu().contiguous().numpy().tobytes(), 9)
    return {"shape": list(images.shape), "zlib": base64.b64encode(content).decode()}


def unpack_images(packed: Any) -> Tensor:
    """Return the images, uint8.

    Raises:
        ArtifactError: It is not what ``pack_images`` returned, or not whole.
    """
    try:
        content = zlib.decompress(base64.b64decode(packed["zlib"], validate=True))
        levels = np.frombuffer(content, np.uint8).reshape(packed["shape"])
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise ArtifactError(
            f"`packed` must be what `pack_images` returned, whole. Found another content ({error}). "
            "Evaluate that model again."
        ) from error
    return torch.from_numpy(levels.copy())
