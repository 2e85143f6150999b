"""Typed errors: each names the argument, the rule, the value found, and ends in the remedy.

Every error also inherits the builtin it resembles, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MANY = 300
"""Names beyond which a message lists the nearest alone: TinyImageNet has 200 classes, timm 1300 networks."""


class UnlearnKitError(Exception):
    """Root of every error that unlearnkit raises on purpose."""


class ConfigurationError(UnlearnKitError, ValueError):
    """An argument or a combination of arguments breaks a rule."""


class UnknownNameError(UnlearnKitError, LookupError):
    """A name is not one of the known ones.

    >>> str(UnknownNameError.among("method", "ngdif", ["ngdiff", "npo"]))
    "`method` must be one of: ngdiff, npo. Found 'ngdif'. Did you mean 'ngdiff'?"
    """

    @classmethod
    def among(cls, argument: str, found: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error that lists the known names, of very many the nearest, and suggests the nearest of all."""
        names = sorted(known)
        close = get_close_matches(found, names, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else "Choose one of these names."
        listed = ", ".join(names)
        if len(names) > MANY:
            listed = ", ".join(
                [*get_close_matches(found, names, n=8, cutoff=0.0), f"... ({len(names)} names)"]
            )
        return cls(f"`{argument}` must be one of: {listed}. Found {found!r}. {remedy}")


class DataError(UnlearnKitError, ValueError):
    """Data that are there break a rule (malformed line, empty set, overlap ...)."""


class DataNotFoundError(UnlearnKitError, FileNotFoundError):
    """A data file, folder or configuration is not there."""


class ArtifactError(UnlearnKitError, OSError):
    """A file that a run wrote is missing, truncated or of another kind."""


class MismatchError(UnlearnKitError, ValueError):
    """Two things that must belong together do not: splits, counts, definitions."""


class NonFiniteError(UnlearnKitError, ArithmeticError):
    """A loss became NaN or infinite."""


class MissingDependencyError(UnlearnKitError, ImportError):
    """An optional package is needed and not installed.

    >>> str(MissingDependencyError.extra("peft", "lora"))
    "This needs the package 'peft', which is not installed. Run: pip install 'unlearnkit[lora]'"
    """

    @classmethod
    def extra(cls, package: str, extra: str) -> MissingDependencyError:
        """Build the error that names the pip command."""
        return cls(
            f"This needs the package {package!r}, which is not installed. "
            f"Run: pip install 'unlearnkit[{extra}]'"
        )


class UnlearnKitWarning(UserWarning):
    """Something works but probably not as intended; the message says what to do."""


def typed_error(error: BaseException) -> UnlearnKitError | None:
    """Return the typed error behind an exception, or None: jsonargparse rewrites what constructors raise."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, UnlearnKitError):
            return link
        link = link.__cause__  # not __context__: a bug met while handling an error is a bug
    return None
