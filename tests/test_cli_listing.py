"""`list` reads source files; here the packages themselves say whether it read right."""

import inspect
from importlib import import_module

import pytest
import torch

from unlearnkit.cli_listing import ROOMS, TOPICS, arguments_of, entries, show, topic_of
from unlearnkit.errors import UnknownNameError


def roots():
    from lightning.pytorch import Callback, LightningDataModule, LightningModule
    from torchmetrics import Metric

    from unlearnkit.objectives import Objective
    from unlearnkit.strategies import Strategy

    return {
        "strategies": Strategy,
        "objectives": Objective,
        "data": LightningDataModule,
        "models": torch.nn.Module,
        "metrics": Metric,
        "modules": LightningModule,
        "callbacks": Callback,
    }


@pytest.mark.parametrize("topic", ROOMS)
def test_listing_equals_what_the_package_exports(topic):
    room = import_module(f"unlearnkit.{ROOMS[topic].folder}")
    exported = [getattr(room, name) for name in room.__all__]
    classes = [
        found for found in exported if inspect.isclass(found) and not found.__module__.endswith(".base")
    ]
    if ROOMS[topic].root is None:
        expected = {found.__name__: found for found in classes if hasattr(found, "evaluate")}
    else:
        expected = {found.__name__: found for found in classes if issubclass(found, roots()[topic])}
    listed = entries(topic)
    assert set(listed) == set(expected)
    assert expected, f"{topic} is empty"
    for name, found in expected.items():
        assert listed[name] == inspect.getdoc(found).partition("\n")[0].replace("``", "")


@pytest.mark.parametrize("topic", [topic for topic in ROOMS if topic != "metrics"])
def test_what_is_listed_can_be_built_or_chosen(topic):
    """Nothing abstract is offered."""
    room = import_module(f"unlearnkit.{ROOMS[topic].folder}")
    assert not [name for name in entries(topic) if inspect.isabstract(getattr(room, name))]


def test_arguments_read_from_source_are_those_of_the_constructor():
    import unlearnkit.modules

    parameters = [
        inspect.signature(getattr(unlearnkit.modules, name)).parameters for name in entries("modules")
    ]
    assert set(arguments_of("modules")) == set().union(*parameters)


def test_no_topic_shows_the_topics_and_another_one_lists_them():
    assert all(topic in show(None) for topic in TOPICS)
    with pytest.raises(
        UnknownNameError, match=r"`topic` must be one of: .*strategies.*Did you mean 'strategies'"
    ):
        show("strategy")


def test_every_topic_shows_names_and_what_they_are():
    for topic in TOPICS:
        for line in show(topic).splitlines():
            name, gap, summary = line.partition("  ")
            assert name and gap and summary.strip(), f"{topic}: {line!r}"


def test_topic_of_an_argument():
    assert topic_of("model.strategy") == "strategies"
    assert topic_of("model.model") == "models"
    assert topic_of("model.clip") is None
