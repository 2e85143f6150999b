"""What jsonargparse reports, from real parsers, becomes argument, rule, value found and remedy."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

import unlearnkit.models  # noqa: F401
from unlearnkit.cli_errors import explained
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError, typed_error
from unlearnkit.objectives import Objective
from unlearnkit.strategies import Strategy


class Outer:
    """Takes what our modules take."""

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy | None = None,
        forget: Objective | None = None,
        clip: float | None = None,
        rounds: int = 1,
    ) -> None:
        if clip is not None and clip < 0:
            raise DataError("`clip` must be above 0. Found -1. Use 1.")


def report(*arguments):
    """Return what jsonargparse says about arguments."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Outer, "model")
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args(["--model=Outer", "--model.model=WithCriterion", *arguments])
    return str(caught.value)


def test_unknown_class_lists_the_names_and_the_nearest():
    error = explained(report("--model.strategy=NGDif"))
    assert isinstance(error, UnknownNameError)
    assert str(error).startswith("`--model.strategy` must be one of: AlignedMTL, Alternate, CAGrad,")
    assert str(error).endswith("Found 'NGDif'. Did you mean 'NGDiff'?")


@pytest.mark.parametrize("found", ["unlearnkit.strategies.Nope", "no.such.Nope"])
def test_unknown_class_path_lists_the_names_too(found):
    message = str(explained(report(f"--model.strategy={found}")))
    assert "must be one of: AlignedMTL, Alternate," in message
    assert f"Found '{found}'" in message


def test_a_class_of_another_kind_is_refused_with_the_names_of_the_right_kind():
    message = str(explained(report("--model.forget=NGDiff")))
    assert "`--model.forget` must be one of: AdaptiveAscent, AnswerPreservation, AscentKL" in message


def test_unknown_option_lists_the_options_of_the_class():
    message = str(explained(report("--model.strategy=FixedWeights", "--model.strategy.x=1")))
    assert "`--model.strategy.*` must be one of: c. Found 'x'." in message
    assert message.endswith("These are the arguments of FixedWeights.")


def test_option_of_a_class_without_options():
    message = str(explained(report("--model.forget=NLL", "--model.forget.beta=1")))
    assert message.startswith("`--model.forget` is of class NLL, which takes no arguments. Found 'beta'.")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("--model.clip=abc", "`--model.clip` must be of type float or null. Found 'abc'."),
        ("--model.rounds=abc", "`--model.rounds` must be of type int. Found 'abc'."),
    ],
)
def test_value_of_another_type(given, rule):
    assert str(explained(report(given))).startswith(rule)


def test_unknown_trainer_argument_names_the_nearest():
    for message in (
        "unrecognized arguments: --trainer.max_step=3",
        "Subcommand 'fit' does not accept option 'trainer.max_step'",
    ):
        assert str(explained(message)).endswith("Found 'max_step'. Did you mean 'max_steps'?")


def test_a_choice_lists_the_names():
    message = (
        "Parser key \"data.forget\":\n  Expected a typing.Literal['forget01', 'forget05']. Got value: forget1"
    )
    assert str(explained(message)) == (
        "`--data.forget` must be one of: forget01, forget05. Found 'forget1'. Did you mean 'forget01'?"
    )


def test_the_yaml_of_a_single_run_is_no_comparison():
    found = str(explained("Option 'trainer.max_steps' is not accepted", "compare"))
    assert found.startswith("`--config` must be a comparison") and "`unlearnkit fit`" in found


def test_unknown_section():
    assert str(explained("unrecognized arguments: --modell.x=3")).endswith(
        "Found 'modell'. Did you mean 'model'?"
    )
    assert "Did you mean 'methods'?" in str(explained("unrecognized arguments: --method=[a]", "compare"))
    assert "Did you mean 'reference'?" in str(explained("unrecognized arguments: --refrence", "continual"))
    assert "Did you mean 'tasks'?" in str(explained("unrecognized arguments: --task=[a]", "downstream"))


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("fit", "tofu/ngdiff.yaml"),
        ("compare", "tofu/quickstart.yaml"),
        ("continual", "tofu/continual.yaml"),
        ("downstream", "Name a folder of `unlearnkit export`."),
    ],
)
def test_missing_arguments_point_to_a_packaged_file(command, start):
    message = str(
        explained(f"the following arguments are required: {command}.data, {command}.model", command)
    )
    assert message.startswith("`--data, --model` must be given.")
    assert message.endswith(start)


def test_anything_else_is_told_in_one_line():
    error = explained("Problems parsing config:\n  line 1,\n  column 8")
    assert isinstance(error, ConfigurationError)
    assert str(error) == "Problems parsing config: line 1, column 8"


def test_typed_error_is_found_behind_what_the_parser_made_of_it():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=Outer | None)
    config = parser.parse_args(
        [
            "--model=Outer",
            "--model.model=WithCriterion",
            "--model.model.network=torch.nn.Identity",
            "--model.clip=-1",
        ]
    )
    with pytest.raises(ValueError, match="Union subtypes") as caught:
        parser.instantiate(config)
    assert isinstance(typed_error(caught.value), DataError)


def test_an_accident_while_handling_a_typed_error_is_not_taken_for_it():
    bug = KeyError("a bug")
    bug.__context__ = DataError("being handled")
    assert typed_error(bug) is None
    bug.__cause__ = DataError("raised from")
    assert typed_error(bug) is bug.__cause__
