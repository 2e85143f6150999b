"""``unlearnkit list``: the names of everything, read from the source, so that nothing has to be imported.

A test keeps what is read here equal to what the packages export.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from unlearnkit import packaged
from unlearnkit.cli_strategies import Row, aligned, row_of
from unlearnkit.errors import UnknownNameError

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Room:
    """Where the classes of a topic are and what they descend from.

    Attributes:
        folder: Subpackage of unlearnkit.
        root: Bare name of the class that all of them descend from; None takes every exported class with the
            method ``evaluate``.
        help: What the topic is.
    """

    folder: str
    root: str | None
    help: str


ROOMS = {
    "strategies": Room("strategies", "Strategy", "how two gradients become one update (--model.strategy)"),
    "objectives": Room("objectives", "Objective", "what one side minimises (--model.forget, --model.retain)"),
    "data": Room("datamodules", "LightningDataModule", "what is forgotten and what is kept (--data)"),
    "models": Room("models", "Module", "what has learned (--model.model)"),
    "metrics": Room("metrics", "Metric", "how forgetting and utility are measured"),
    "evaluators": Room("evaluators", None, "a benchmark's metrics in one pass"),
    "modules": Room("modules", "LightningModule", "how a run is trained (--model)"),
    "callbacks": Room("callbacks", "Callback", "what acts between rounds (--trainer.callbacks+=)"),
}
# Which topic the last part of an argument's name belongs to.
ARGUMENTS = {
    "strategy": "strategies",
    "forget": "objectives",
    "retain": "objectives",
    "objective": "objectives",
    "evaluator": "evaluators",
    "data": "data",
    "model": "models",
    "callbacks": "callbacks",
    "shape": "shapes",
}
COMPARISONS = {"compare": "tofu/quickstart.yaml", "continual": "tofu/continual.yaml"}
"""Commands that take a comparison, and a packaged one to start from."""
TOPICS = {
    "methods": "packaged methods: objectives, strategy and callbacks in one YAML (compare --methods)",
    **{topic: room.help for topic, room in ROOMS.items()},
    "shapes": "architectures to build with random weights (--model.model.shape)",
    "configs": "packaged YAML files (--config)",
}


def entries(topic: str) -> dict[str, str]:
    """Return the names of a topic with one line on each.

    Raises:
        UnknownNameError: There is no such topic.

    >>> entries("methods")["tofu/ngdiff"].split(":")[0]
    'NGDiff'
    >>> "NGDiff" in entries("strategies"), "GramStrategy" in entries("strategies")
    (True, False)
    """
    if topic == "methods":
        return {name: packaged.summary_of(f"{name}.yaml") for name in packaged.method_names()}
    if topic == "shapes":
        files = {name: f"shapes/{name}.yaml" for name in packaged.shape_names()}
        files |= {name: f"shapes/diffusion/{name}.yaml" for name in packaged.diffusion_shape_names()}
        return {name: packaged.summary_of(file) for name, file in files.items()}
    if topic == "configs":
        return {name: packaged.summary_of(name) for name in packaged.config_names()}
    if topic not in ROOMS:
        raise UnknownNameError.among("topic", topic, TOPICS)
    return {name: _summary(node) for name, node in _classes(ROOMS[topic]).items()}


def show(topic: str | None) -> str:
    """Return the listing of a topic, or of the topics, as the text that is printed."""
    if topic == "strategies":
        return aligned(strategy_rows())
    found = TOPICS if topic is None else entries(topic)
    width = max(map(len, found), default=0)
    lines = [f"{name:<{width}}  {summary}".rstrip() for name, summary in found.items()]
    head = ["usage: unlearnkit list TOPIC", ""] if topic is None else []
    return "\n".join([*head, *lines])


def strategy_rows() -> list[Row]:
    """Return what the table of strategies says of each, by name.

    >>> next(row for row in strategy_rows() if row.name == "NGDiff").source
    'paper 001, section 3.2'
    """
    room = ROOMS["strategies"]
    nodes = _all_classes(room)
    return [row_of(name, {name: node for name, (_, node) in nodes.items()}) for name in _classes(room)]


def topic_of(argument: str, command: str = "fit") -> str | None:
    """Return the topic that an argument's class is chosen from, or None.

    Args:
        argument: The argument with its dots, without dashes.
        command: Subcommand; ``compare`` and ``continual`` take a bare model where ``fit`` takes a module around it.

    >>> topic_of("model.forget"), topic_of("model"), topic_of("model", "compare"), topic_of("trainer.devices")
    ('objectives', 'modules', 'models', None)
    """
    if argument == "model":
        return "models" if command in COMPARISONS else "modules"
    return ARGUMENTS.get(argument.rpartition(".")[2])


def arguments_of(topic: str) -> list[str]:
    """Return the arguments that the constructors of a topic's classes take, sorted.

    >>> "strategy" in arguments_of("modules")
    True
    """
    return sorted({name for node in _classes(ROOMS[topic]).values() for name in constructor_arguments(node)})


def constructor_arguments(node: ast.ClassDef) -> list[str]:
    """Return the arguments of a class's own constructor in the source, without ``self``."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            given = part.args
            return [argument.arg for argument in [*given.posonlyargs, *given.args[1:], *given.kwonlyargs]]
    return []


def _classes(room: Room) -> dict[str, ast.ClassDef]:
    """Return the exported, concrete classes of a room."""
    defined = _all_classes(room)
    init = PACKAGE / room.folder / "__init__.py"
    exported = _exported(ast.parse(init.read_text(encoding="utf-8")))
    nodes = {name: node for name, (_, node) in defined.items()}
    # A room's base classes live in its base.py: they are for writing new ones, not for choosing.
    names = [name for name, (path, _) in defined.items() if name in exported and path.name != "base.py"]
    chosen = sorted((name for name in names if _belongs(name, room.root, nodes)), key=str.lower)
    return {name: nodes[name] for name in chosen}


def _all_classes(room: Room) -> dict[str, tuple[Path, ast.ClassDef]]:
    """Return every class of a room with the file it is in."""
    trees = {
        path: ast.parse(path.read_text("utf-8")) for path in sorted((PACKAGE / room.folder).glob("*.py"))
    }
    return {node.name: (path, node) for path, tree in trees.items() for node in _class_nodes(tree)}


def _summary(node: ast.ClassDef) -> str:
    """Return the first line of a docstring without code quotes."""
    return (ast.get_docstring(node) or "").partition("\n")[0].replace("``", "")


def _class_nodes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def _exported(tree: ast.Module) -> set[str]:
    """Return the strings in a module's ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def _belongs(name: str, root: str | None, nodes: dict[str, ast.ClassDef]) -> bool:
    if root is None:
        return any(isinstance(part, ast.FunctionDef) and part.name == "evaluate" for part in nodes[name].body)
    bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in nodes[name].bases]
    return any(base == root or (base in nodes and _belongs(base, root, nodes)) for base in bases)
