"""The command ``unlearnkit``: answers what is cheap at once, and imports the heavy parts only to run."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from unlearnkit import __version__
from unlearnkit.cli_complete import COMMANDS, SCRIPTS, candidates
from unlearnkit.cli_errors import explained
from unlearnkit.cli_listing import show
from unlearnkit.errors import ConfigurationError, UnknownNameError, typed_error
from unlearnkit.packaged import resolve_configs, run_name

LIGHTNING = ("fit", "validate", "test", "predict")

HELP = """\
usage: unlearnkit COMMAND [OPTIONS]

Make a trained model forget, and show that it did.

commands:
  compare     train a target and a retrained reference, run methods, put all of them in one table
  continual   the same for requests that come one after the other, each from where the one before ended
  fit         train: unlearn with one method, or make a target or a reference
  validate    evaluate the losses of a run
  test        evaluate a run and write results.json
  predict     let a model answer
  export      export RUN OUT: write a run's model as a plain from_pretrained folder
  downstream  run ARC-c, MMLU, TruthfulQA, TriviaQA and GSM8K on exported models (extra `downstream`)
  list        list methods, strategies, objectives, data, models, modules, metrics, evaluators, callbacks, shapes or
              configs

options:
  -h, --help                 this text; `unlearnkit COMMAND --help` shows a command's options
  --version                  the version
  --config FILE              YAML, a path or a packaged name (`unlearnkit list configs`); may be repeated
  --print_config             print the resolved YAML of a command, which can be fed back with --config
  --print_completion SHELL   completion script of bash, zsh or fish
  --debug                    show tracebacks of errors (or set UNLEARNKIT_DEBUG=1)

examples:
  unlearnkit compare --config tofu/quickstart.yaml
  unlearnkit compare --config tofu/quickstart.yaml --methods=[ngdiff,npo] --seeds=[0,1,2]
  unlearnkit fit --config tofu/ngdiff.yaml --data.path=PATH --model.strategy=FixedWeights --model.strategy.c=0.9
  unlearnkit fit --config tofu/ngdiff.yaml --trainer.devices=8 --trainer.strategy=fsdp2
  unlearnkit fit --config tofu/finetune.yaml && unlearnkit export runs/tofu/finetune/version_0 target
  unlearnkit fit --config tofu/ngdiff.yaml --model.model.name=target --data.tokenizer=target
  unlearnkit list strategies
  eval "$(unlearnkit --print_completion bash)"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0, 2 where something the user can mend is wrong, 130 when interrupted.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = [argument for argument in given if argument != "--debug"]
    debug = len(arguments) < len(given) or os.environ.get("UNLEARNKIT_DEBUG", "0") not in ("", "0")
    command = arguments[0] if arguments else "--help"
    # torchao, where it is installed, has torch log two lines about enums whenever transformers is imported, and
    # bitsandbytes one about a kernel of 4 bits whenever peft is.
    for name in ("torch.utils._pytree", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return _dispatch(command, arguments[1:])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        message = _message(error, command)
        if debug or message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2


def _dispatch(command: str, rest: list[str]) -> int:
    if command in ("-h", "--help", "help"):
        print(HELP, end="")
    elif command in ("--version", "-V"):
        print(f"unlearnkit {__version__}")
    elif command.partition("=")[0] == "--print_completion":
        _print_completion(command.partition("=")[2] or "".join(rest[:1]))
    elif command == "--complete":
        _complete(rest)
    elif command == "list":
        _list(rest)
    elif command == "compare":
        from unlearnkit.study.comparison import main as compare

        return compare(rest)
    elif command == "continual":
        from unlearnkit.study.continual import main as continual

        return continual(rest)
    elif command == "downstream":
        from unlearnkit.study.downstream import main as downstream

        return downstream(rest)
    elif command == "export":
        _export(rest)
    elif command in LIGHTNING:
        arguments = [command, *rest]
        resolved = resolve_configs(arguments)
        from unlearnkit.cli_lightning import run

        run(resolved, run_name(arguments))
    else:
        raise UnknownNameError.among("command", command, COMMANDS)
    return 0


def _list(rest: list[str]) -> None:
    if len(rest) > 1:
        raise ConfigurationError(
            f"`list` takes one topic. Found {' '.join(rest)!r}. `unlearnkit list` shows the topics."
        )
    print(show(None if not rest or rest[0] in ("-h", "--help") else rest[0]))


EXPORT_HELP = """\
usage: unlearnkit export RUN OUT

Write a model as a plain from_pretrained folder in safetensors (an adapter is merged).

  RUN   a run's folder (its last checkpoint), a checkpoint file, or the folder of a distributed checkpoint
  OUT   the folder to write
"""


def _export(rest: list[str]) -> None:
    if rest in (["-h"], ["--help"]):
        print(EXPORT_HELP, end="")
        return
    if len(rest) != 2 or rest[0].startswith("-"):
        raise ConfigurationError(
            f"`export` takes a run's folder and a folder to write. Found {' '.join(rest)!r}. "
            "Use e.g. `unlearnkit export runs/tofu/ngdiff/version_0 my-model`."
        )
    from unlearnkit.study.export import export_run

    print(export_run(Path(rest[0]), Path(rest[1])))


def _complete(rest: list[str]) -> None:
    """Print what may stand at the end of the line, one candidate a line."""
    for candidate in candidates(" ".join(rest)):
        print(candidate)


def _print_completion(shell: str) -> None:
    if shell not in SCRIPTS:
        raise UnknownNameError.among("--print_completion", shell, SCRIPTS)
    print(SCRIPTS[shell], end="")


def _message(error: Exception, command: str) -> str | None:
    """Return what to tell the user, or None where the error is a bug and needs its traceback."""
    typed = typed_error(error)
    if typed is not None:
        return str(typed)
    if isinstance(error, argparse.ArgumentError):
        return str(explained(str(error), command))
    # Lightning's word for bad arguments, known here by name because Lightning may not be imported.
    if type(error).__name__ == "MisconfigurationException":
        return str(error)
    # jsonargparse's rewriting of what a constructor of another library refused.
    if isinstance(error, ValueError) and str(error).startswith("Does not validate"):
        return str(explained(str(error.__cause__ or error), command))
    return None


if __name__ == "__main__":
    sys.exit(main())
