"""The house: who may import whom, how long a file may be, and that every file has its test."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "unlearnkit"
FLOORS = [
    {"errors", "batches", "artifacts", "packaged", "sharding", "reduction", "host", "keyed_draws"},
    {"gradients", "metrics", "synthetic", "optim", "plots"},
    {"models", "objectives", "strategies", "alignment", "datamodules", "evaluators"},
    {"modules"},
    {"callbacks"},
    {"study"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PLAIN_TORCH = {
    "gradients",
    "objectives",
    "strategies",
    "optim",
    "host",
    "reduction",
    "sharding",
    "keyed_draws",
}
LONGEST = 400
FILES = sorted(PACKAGE.rglob("*.py"))
INSIDE = [path for path in FILES if path.name not in ("__init__.py", "__main__.py") or path.parent != PACKAGE]


def room_of(module):
    """Return the room of a dotted name, the command line's files being one room, or None for the package itself."""
    parts = module.split(".")
    if len(parts) == 1:
        return None
    return "cli" if parts[1].startswith("cli_") else parts[1]


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name):
    path = PACKAGE.parent / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports_of(path, *, types_too=True):
    """Return the modules that a file imports anywhere in it, in full.

    Args:
        types_too: Whether imports for type checkers alone count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types_too:
        tree.body = [node for node in tree.body if not ast.unparse(node).startswith("if TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from unlearnkit import strategies` names a room, `from unlearnkit import __version__` does not.
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            rooms = [name for name in deeper if node.module == "unlearnkit" and is_module(name)]
            yield from rooms or [node.module]


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def test_every_room_is_on_a_floor():
    rooms = {room_of(module_of(path)) for path in INSIDE}
    assert rooms - {"testing", None} <= set(FLOOR)


def test_imports_come_from_below():
    wrong = []
    for path in INSIDE:
        own = room_of(module_of(path))
        for module in imports_of(path) if own != "testing" else ():
            room = room_of(module) if module.split(".")[0] == "unlearnkit" else own
            if room == own:
                continue
            if room is None:
                # The package's own names are for users; only the command line reads its version.
                fine = own == "cli"
            elif room == "testing":
                fine = False
            else:
                # On the lowest floor files lean on each other: artifacts speak in typed errors.
                fine = FLOOR[room] < FLOOR[own] or FLOOR[own] == 0 == FLOOR[room]
            if not fine:
                wrong.append(f"{name_of(path)} ({own}, floor {FLOOR[own]}) imports {module}")
    assert not wrong


def test_imports_have_no_circle():
    """Also within a room, files can be put in an order in which each imports only earlier ones."""
    known = {module_of(path): path for path in FILES}
    graph = {}
    for name, path in known.items():
        used = {module for module in imports_of(path, types_too=False) if module in known and module != name}
        # A package's __init__ only re-exports: it stands for no file of its own room.
        graph[name] = {module for module in used if not name.startswith(f"{module}.")}
    while graph:
        free = {name for name, used in graph.items() if not used & set(graph)}
        assert free, f"these modules import each other in a circle: {sorted(graph)}"
        graph = {name: used for name, used in graph.items() if name not in free}


def test_ideas_are_plain_torch():
    libraries = {"lightning", "pytorch_lightning", "transformers", "torchmetrics"}
    for path in FILES:
        if room_of(module_of(path)) in PLAIN_TORCH:
            assert not {module.split(".")[0] for module in imports_of(path)} & libraries, name_of(path)


def test_files_are_one_idea_long():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}, "split these by idea"
    assert sorted(lengths.values())[len(lengths) // 2] < 150


def test_no_drawer_for_everything():
    assert not [
        name_of(path) for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")
    ]


def test_every_file_has_a_test_of_its_name():
    missing = []
    for path in FILES:
        inside = path.relative_to(PACKAGE)
        test = PACKAGE.parent / "tests" / inside.parent / f"test_{inside.name}"
        if path.name not in ("__init__.py", "__main__.py") and not test.exists():
            missing.append(test.relative_to(PACKAGE.parent).as_posix())
    assert not missing


def test_nobody_asks_what_kind_of_strategy_it_is():
    bases = {"Strategy", "GramStrategy", "LossStrategy"}
    rooms = [path for path in FILES if room_of(module_of(path)) not in ("testing", "strategies")]
    for path in rooms:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                assert not asked & bases, f"{name_of(path)}:{node.lineno}"
