"""unlearn_in_sequence: one call for an engineer to whom requests come one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.utils.data import ConcatDataset

from unlearnkit.datamodules import PairedDatasets
from unlearnkit.errors import DataError
from unlearnkit.study.unlearn import Unlearned, unlearn


def unlearn_in_sequence(
    model: nn.Module, *, requests: Sequence[Any], retain: Any, **arguments: Any
) -> list[Unlearned]:
    """Make a model forget one data set after the other, and return what each cost.

    Request k starts from the model that request k-1 left behind; what later requests ask for is kept until they come.
    ``unlearnkit continual`` does the same with TOFU's whole evaluation after each, and resumes.

    Args:
        model: As for ``unlearn``. It is changed in place.
        requests: Map-style data sets to forget, in this order.
        retain: Map-style data set to keep throughout.
        arguments: The other arguments of ``unlearn``: ``method``, ``rounds``, ``lr`` ...

    Raises:
        DataError: There is no request, one is empty, or a sample is in two of them or in ``retain`` as well.
        UnknownNameError: There is no such method.
        ConfigurationError: An argument breaks its rule.

    >>> from unlearnkit.testing import toy_dataset
    >>> first, second, kept = (toy_dataset(n, seed=n) for n in (8, 6, 24))
    >>> model = nn.Linear(5, 3)
    >>> [one.rounds for one in unlearn_in_sequence(model, requests=[first, second], retain=kept, rounds=2)]
    [2, 2]
    """
    if not requests or any(hasattr(request, "__len__") and not len(request) for request in requests):
        sizes = [len(request) if hasattr(request, "__len__") else "no length" for request in requests]
        raise DataError(
            "`requests` must hold one or more data sets, none of them empty. Found "
            f"{f'sizes {sizes}' if sizes else 'none'}. Leave empty requests out."
        )
    # Earlier requests are on neither side: keeping them would bring back what was forgotten.
    kept: list[Any] = [ConcatDataset([*requests[n + 1 :], retain]) for n in range(len(requests))]
    for number, (request, rest) in enumerate(zip(requests, kept, strict=True)):
        try:
            PairedDatasets(request, rest).setup()
        except DataError as error:
            raise DataError(f"`requests[{number}]` cannot be forgotten. {error}") from error
    return [unlearn(model, forget=f, retain=r, **arguments) for f, r in zip(requests, kept, strict=True)]
