"""Shell completion: the script asks ``unlearnkit --complete LINE`` at each Tab, so it is always up to date.

Everything is read from source files and takes a fraction of a second. (jsonargparse can write completion
scripts too, but it builds one entry for every ``torch.nn.Module`` that is imported, which takes minutes.)
"""

from __future__ import annotations

import ast
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

from unlearnkit.cli_listing import PACKAGE, TOPICS, arguments_of, constructor_arguments, entries, topic_of
from unlearnkit.packaged import CONFIGS, config_names, method_names

COMMANDS = ("compare", "continual", "downstream", "export", "fit", "list", "predict", "test", "validate")
GLOBAL = ("--help", "--version", "--print_completion", "--debug")
RUN_OPTIONS = (
    "--config",
    "--model",
    "--data",
    "--seed_everything",
    "--ckpt_path",
    "--print_config",
    "--help",
)
CLASS_OPTIONS = (
    "--model.model",
    "--model.strategy",
    "--model.forget",
    "--model.retain",
    "--trainer.callbacks+",
)

SCRIPTS = {
    "bash": """\
_unlearnkit() {
  local line="${COMP_LINE:0:COMP_POINT}"
  mapfile -t COMPREPLY < <(unlearnkit --complete "$line" 2>/dev/null)
  # Bash takes what follows "=" for a word of its own.
  if [[ "${line##* }" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then COMPREPLY=("${COMPREPLY[@]#*=}"); fi
}
complete -o default -o bashdefault -F _unlearnkit unlearnkit
""",
    "zsh": """\
_unlearnkit() {
  local -a found
  found=(${(f)"$(unlearnkit --complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _unlearnkit unlearnkit
""",
    "fish": "complete -c unlearnkit -a '(unlearnkit --complete (commandline -cp | string collect) 2>/dev/null)'\n",
}


def candidates(line: str) -> list[str]:
    """Return what may stand at the end of a command line.

    Args:
        line: The command line up to the cursor, the program's name included.

    >>> candidates("unlearnkit li")
    ['list']
    >>> candidates("unlearnkit fit --config tofu/ngdiff.yaml --model.strategy=NG")
    ['--model.strategy=NGDiff']
    """
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote
        words = line.split()
    current = words.pop() if words and not line[-1:].isspace() else ""
    return [word for word in _expected(words[1:], current) if word.startswith(current)]


def _expected(words: list[str], current: str) -> list[str]:
    """Return all words that may follow ``words``."""
    if not words:
        return [*COMMANDS, *GLOBAL]
    command = words[0]
    if command == "--print_completion":
        return list(SCRIPTS)
    if command == "list":
        return list(TOPICS) if len(words) == 1 else []
    if command not in COMMANDS or command == "export":
        return []
    option, equals, _ = current.partition("=")
    if equals:
        return [f"{option}={value}" for value in _values(option, command)]
    if command == "downstream":
        return _own_options("downstream.py")
    values = _values(words[-1], command)
    if command == "continual":
        return values or sorted({*_compare_options(), *_own_options("continual.py")})
    return values or (_compare_options() if command == "compare" else _run_options())


def _values(option: str, command: str) -> list[str]:
    """Return what an option is chosen from, empty where anything goes."""
    if option in ("--config", "-c"):
        texts = {name: (CONFIGS / name).read_text(encoding="utf-8") for name in config_names()}
        wanted = {"compare": r"(?m)^methods:", "continual": r"(?m)^    requests:"}.get(command)
        if wanted is not None:
            return [name for name, text in texts.items() if re.search(wanted, text)]
        return [name for name, text in texts.items() if not re.search(r"(?m)^methods:", text)]
    if option == "--methods":
        return sorted({name.rpartition("/")[2] for name in method_names()})
    topic = topic_of(option.strip("-+"), command)
    return list(entries(topic)) if topic is not None else []


def _run_options() -> list[str]:
    """Return the options of ``fit`` and its sisters: the classes' and the trainer's arguments."""
    nested = {"--model.": "modules", "--model.model.": "models", "--data.": "data"}
    found = [prefix + name for prefix, topic in nested.items() for name in arguments_of(topic)]
    return sorted(
        {*RUN_OPTIONS, *CLASS_OPTIONS, *found, *(f"--trainer.{name}" for name in _trainer_arguments())}
    )


def _compare_options() -> list[str]:
    """Return the options of ``compare``, read from where its parser is made."""
    source = (PACKAGE / "study" / "settings.py").read_text(encoding="utf-8")
    sections = re.findall(r'add_subclass_arguments\(\w+, "(\w+)"', source)
    nested = {"--model.": "models", "--data.": "data", "--evaluator.": "evaluators"}
    found = [prefix + name for prefix, topic in nested.items() for name in arguments_of(topic)]
    return sorted({*_own_options("settings.py"), *(f"--{name}" for name in sections), *found})


def _own_options(file: str) -> list[str]:
    """Return the options that a file of ``study`` adds to its parser."""
    source = (PACKAGE / "study" / file).read_text(encoding="utf-8")
    return sorted({*re.findall(r'add_argument\(\s*"(--\w+)"', source), "--help"})


def _trainer_arguments() -> list[str]:
    """Return the arguments of Lightning's Trainer, read from its source without importing it."""
    spec = find_spec("lightning")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "pytorch" / "trainer" / "trainer.py"
        if path.exists():
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and node.name == "Trainer":
                    return constructor_arguments(node)
    return []
