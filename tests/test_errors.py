"""Typed errors: each is also the builtin it resembles, and its message ends in the remedy."""

from __future__ import annotations

import re

import pytest

from unlearnkit import errors
from unlearnkit.errors import MissingDependencyError, UnknownNameError, UnlearnKitError, UnlearnKitWarning

RESEMBLES = {
    "ConfigurationError": ValueError,
    "UnknownNameError": LookupError,
    "DataError": ValueError,
    "DataNotFoundError": FileNotFoundError,
    "ArtifactError": OSError,
    "MismatchError": ValueError,
    "NonFiniteError": ArithmeticError,
    "MissingDependencyError": ImportError,
}


@pytest.mark.parametrize("name", RESEMBLES)
def test_each_error_is_caught_as_its_builtin_and_as_ours(name):
    error = getattr(errors, name)("what went wrong")
    assert isinstance(error, UnlearnKitError)
    assert isinstance(error, RESEMBLES[name])
    assert str(error) == "what went wrong"


def test_every_error_of_the_module_is_in_the_table():
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, UnlearnKitError) and value is not UnlearnKitError
    }
    assert found == set(RESEMBLES)


def test_unknown_name_lists_all_names_and_suggests_the_nearest():
    message = str(UnknownNameError.among("strategy", "NGdif", ["PCGrad", "NGDiff", "LossNorm"]))
    assert message.startswith("`strategy` must be one of: LossNorm, NGDiff, PCGrad. Found 'NGdif'.")
    assert message.endswith("Did you mean 'NGDiff'?")


def test_unknown_name_far_from_all_names_suggests_none():
    message = str(UnknownNameError.among("strategy", "xyz", iter(["NGDiff"])))
    assert message.endswith("Choose one of these names.")


def test_of_very_many_names_the_nearest_are_listed():
    message = str(UnknownNameError.among("network", "net12", [f"net{number}" for number in range(1000)]))
    assert len(message) < 300
    assert re.search(
        r"one of: net12\d?, .*\.\.\. \(1000 names\)\. Found 'net12'\. Did you mean 'net12'", message
    )


def test_missing_dependency_names_the_command():
    message = str(MissingDependencyError.extra("diffusers", "diffusion"))
    assert "'diffusers'" in message
    assert message.endswith("Run: pip install 'unlearnkit[diffusion]'")


def test_warning_is_a_user_warning():
    assert issubclass(UnlearnKitWarning, UserWarning)
    with pytest.raises(UnlearnKitWarning):  # the suite turns our own warnings into errors
        raise UnlearnKitWarning("heed this")
