"""The one rule that generators' numbers follow."""

from __future__ import annotations

from unlearnkit.errors import ConfigurationError


def require_integer(argument: str, found: object, low: int, high: int | None = None) -> None:
    """Refuse what is no integer in a range.

    Args:
        argument: Its name.
        found: Its value.
        low: The least integer allowed.
        high: The greatest; None sets no bound.

    Raises:
        ConfigurationError: It is out of range, or not an integer.

    >>> require_integer("authors", 1, 2, 200)
    Traceback (most recent call last):
    ...
    unlearnkit.errors.ConfigurationError: `authors` must be an integer from 2 to 200. Found 1. Choose another number.
    """
    number = found if isinstance(found, int) and not isinstance(found, bool) else None
    if number is not None and low <= number and (high is None or number <= high):
        return
    rule = f"an integer from {low} to {high}" if high is not None else f"an integer of at least {low}"
    raise ConfigurationError(f"`{argument}` must be {rule}. Found {found!r}. Choose another number.")
