"""Errors as a person reads them: jsonargparse's nested report becomes argument, rule, value found and remedy."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from unlearnkit.cli_listing import COMPARISONS, entries, topic_of
from unlearnkit.errors import ConfigurationError, UnknownNameError, UnlearnKitError

LIBRARIES = {
    "optimizer": "torch.optim",
    "scheduler": "torch.optim.lr_scheduler",
    "logger": "lightning.pytorch.loggers",
}

LITERAL = "typing.Literal"

NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
BAD_CLASS = re.compile(r"given class_path '([^']+)':\s+(?:No module named|module \S+ has no attribute)")
BAD_OPTION = re.compile(r"given class_path '([^']+)':\s+Option '([^']+)' is not accepted")
BAD_VALUE = re.compile(r"Expected an? (?:<class ')?([^\n]+?)(?:'>)?\. Got value: ([^\n]*)")
UNKNOWN = re.compile(r"(?:unrecognized arguments: -*|does not accept option ')([\w.+-]+)")
REQUIRED = re.compile(r"arguments are required: (.+)")


def explained(message: str, command: str = "fit") -> UnlearnKitError:
    """Return the typed error that says what is wrong with the arguments.

    Args:
        message: What jsonargparse reports.
        command: Subcommand it was parsing for.

    >>> report = 'Parser key "data": Errors: - Expected a dot import path string: TOFO'
    >>> str(explained(report)).endswith("Found 'TOFO'. Did you mean 'TOFU'?")
    True
    """
    argument = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    if match := BAD_OPTION.search(message):
        return _unknown_option(argument, *match.groups())
    if match := NO_CLASS.search(message) or BAD_CLASS.search(message):
        return _unknown_class(argument, match[1], command, message)
    if match := UNKNOWN.search(message):
        return _unknown_argument(match[1], command)
    if match := REQUIRED.search(message):
        names = ", ".join(f"--{name.strip().removeprefix(f'{command}.')}" for name in match[1].split(","))
        if command == "downstream":
            return ConfigurationError(
                f"`{names}` must be given. Found nothing. Name a folder of `unlearnkit export`."
            )
        start = COMPARISONS.get(command, "tofu/ngdiff.yaml")
        return ConfigurationError(
            f"`{names}` must be given. Found nothing. Start from a packaged file: --config {start}"
        )
    if match := BAD_VALUE.search(message):
        return _bad_value(argument, [match[1]], match[2])
    innermost = message[message.rfind("Parser key") :].partition("Given value type")
    types = re.findall(r"Expected an? (?:<class ')?([^\n]+?)(?:'>)?\n", innermost[0])
    if argument and types and (match := re.search(r"Given value: ([^\n]*)", innermost[2])):
        return _bad_value(argument, types, match[1])
    if command in COMPARISONS and re.search(r"Option 'trainer\b", message):
        return ConfigurationError(
            "`--config` must be a comparison: data, model, evaluator, methods. Found the YAML of a single run, with a "
            f"trainer. Use e.g. --config {COMPARISONS[command]} --methods=[ngdiff], or `unlearnkit fit` for a "
            "single run."
        )
    return ConfigurationError(" ".join(message.split()))


def _unknown_class(argument: str, found: str, command: str, message: str) -> UnlearnKitError:
    known = list(_classes(argument, command))
    if not known:
        return ConfigurationError(" ".join(message.split()))
    return UnknownNameError.among(f"--{argument}", found, known)


def _classes(argument: str, command: str) -> Iterable[str]:
    """Return the class names that an argument is chosen from, as far as they are known."""
    last = argument.rpartition(".")[2]
    topic = topic_of(argument, command)
    if topic is not None:
        return entries(topic)
    if last in LIBRARIES:
        library = import_module(LIBRARIES[last])
        exported = getattr(library, "__all__", vars(library))
        return [name for name in exported if inspect.isclass(getattr(library, name, None))]
    return []


def _unknown_option(argument: str, class_path: str, found: str) -> UnlearnKitError:
    module, _, name = class_path.rpartition(".")
    known = _parameters(getattr(import_module(module), name))
    if known:
        error = UnknownNameError.among(f"--{argument}.*", found, known)
        return UnknownNameError(f"{error} These are the arguments of {name}.")
    return UnknownNameError(
        f"`--{argument}` is of class {name}, which takes no arguments. Found {found!r}. "
        f"Leave it out, or name the class that takes it first: --{argument}=CLASS"
    )


def _unknown_argument(found: str, command: str) -> UnlearnKitError:
    section, dot, name = found.strip("-'").partition(".")
    if section == "trainer" and dot:
        from lightning.pytorch import Trainer

        return UnknownNameError.among("--trainer.*", name, _parameters(Trainer))
    if command in (*COMPARISONS, "downstream"):
        options = {option.strip("-+").partition(".")[0] for option in _parser(command)._option_string_actions}
        return UnknownNameError.among("--*", section, options - {"h", "help"})
    known = [
        "config",
        "data",
        "model",
        "trainer",
        "seed_everything",
        "ckpt_path",
        "weights_only",
        "print_config",
    ]
    return UnknownNameError.among("--*", section, known)


def _parser(command: str) -> Any:
    """Return the parser of a command that has its own."""
    if command == "downstream":
        from unlearnkit.study.downstream import downstream_parser

        return downstream_parser()
    if command == "continual":
        from unlearnkit.study.continual import continual_parser

        return continual_parser()
    from unlearnkit.study.settings import comparison_parser

    return comparison_parser()


def _parameters(class_: type) -> list[str]:
    """Return the arguments of a class's constructor."""
    return [name for name in inspect.signature(class_).parameters if name not in ("args", "kwargs")]


def _bad_value(argument: str, types: list[str], found: str) -> UnlearnKitError:
    choices = [
        choice for name in types for choice in re.findall(r"'([^']*)'", name) if name.startswith(LITERAL)
    ]
    if choices and len(types) == 1:
        return UnknownNameError.among(f"--{argument}", found, choices)
    plain = {"NoneType": "null"}
    names = " or ".join(plain.get(name, name.removeprefix(LITERAL)) for name in types)
    return ConfigurationError(
        f"`--{argument}` must be of type {names}. Found {found!r}. Give a value of that type; "
        "`--print_config` shows the current ones."
    )
