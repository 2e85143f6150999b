"""What a run leaves behind: atomic files and folders, content hashes, the folder lock, the split.

Standard library only, so that it can be imported anywhere at no cost.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from unlearnkit.errors import ArtifactError, DataError, MismatchError

if sys.platform != "win32":
    import fcntl

AnyPath = str | os.PathLike[str]


def plain(value: Any, where: str = "value") -> Any:
    """Return a copy made of JSON types only; floats that are not finite become None.

    Args:
        value: Nested dicts, lists, tuples, strings, numbers, booleans and None.
        where: Name of the value in error messages.

    Raises:
        DataError: Something in it is of another type.

    >>> plain({"ratio": float("nan"), "split": (1, 2)})
    {'ratio': None, 'split': [1, 2]}
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise DataError(
        f"`{where}` must be of a JSON type (dict, list, str, number, bool, None). "
        f"Found {type(value).__name__}. Convert it first, e.g. with .item(), .tolist() or str()."
    )


def content_hash(value: Any) -> str:
    """Return 16 hexadecimal digits that depend on the content alone, not on the order of keys.

    Raises:
        DataError: The value holds something that is not of a JSON type.

    >>> content_hash({"a": 1, "b": [2]}) == content_hash({"b": (2,), "a": 1})
    True
    """
    canonical = json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------ files


def _sibling(path: Path, kind: str) -> Path:
    """Return an unused hidden name beside ``path`` that tells which process made it."""
    owner = f"{_host()}-{os.getpid()}"
    return path.with_name(f".{path.name}.{owner}-{secrets.token_hex(4)}.{kind}")


def atomic_write_text(path: AnyPath, text: str) -> None:
    """Write a UTF-8 text file so that a reader sees the old content or the new, never a part.

    Folders above it are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(target, "tmp")
    try:
        with open(temporary, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write_json(path: AnyPath, value: Any) -> None:
    """Write JSON atomically, keys in the order given; NaN and infinity become null.

    Raises:
        DataError: The value holds something that is not of a JSON type.
    """
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def read_json(path: AnyPath) -> Any:
    """Read a JSON file that a run wrote.

    Raises:
        ArtifactError: The file is missing, half-written or not JSON.
    """
    target = Path(path)
    try:
        return json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"`{target}` must be a file that a run wrote. Found nothing there. "
            "Check the path, or run the command that writes it."
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"`{target}` must be whole JSON. Found a half-written or damaged file ({error}). "
            "Delete it and run again."
        ) from error


# ---------------------------------------------------------------------------------------- folders


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", platform.node()) or "host"


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _recover(target: Path) -> None:
    """Clear what killed processes of this machine left beside the folder.

    A process killed between the two renames of ``atomic_folder`` left the old folder under its hidden
    name only: it is given its name back.
    """
    pattern = re.compile(rf"\.{re.escape(target.name)}\.{_host()}-(\d+)-[0-9a-f]{{8}}\.(tmp|old)")
    for entry in sorted(target.parent.iterdir()):
        match = pattern.fullmatch(entry.name)
        if match is None or _is_alive(int(match[1])):
            continue
        if match[2] == "old" and not target.exists():
            entry.rename(target)
        else:
            shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def atomic_folder(path: AnyPath) -> Iterator[Path]:
    """Fill a folder under a temporary name; it takes its real name only when the block ends well.

    A folder of that name is replaced whole. An exception or a kill inside the block leaves it as it was.

    Yields:
        The temporary folder, empty, beside the real one.

    Raises:
        ArtifactError: A file is in the place of the folder.

    >>> import tempfile
    >>> parent = Path(tempfile.mkdtemp())
    >>> with atomic_folder(parent / "model") as folder:
    ...     _ = (folder / "weights").write_text("1 2 3")
    >>> [file.name for file in parent.rglob("*")]
    ['model', 'weights']
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise ArtifactError(f"`{target}` must be a folder or free. Found a file. Delete it, or name another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    _recover(target)
    temporary = _sibling(target, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            old = _sibling(target, "old")
            target.rename(old)
            try:
                temporary.rename(target)
            except BaseException:
                old.rename(target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


class FolderLock:
    """Keep a second run out of a folder while the first one writes into it.

    The operating system holds the lock (``flock`` on ``FOLDER/.lock``) and drops it when the process
    ends, however it ends; so a lock is never stale and the file may stay. On Windows, which has no ``flock``,
    two runs are not kept apart.

    Args:
        folder: The folder to lock; it is made where it is missing.

    Raises:
        ArtifactError: On entering, when another run holds the lock.

    >>> import tempfile
    >>> with FolderLock(tempfile.mkdtemp()):
    ...     pass
    """

    def __init__(self, folder: AnyPath) -> None:
        self.folder = Path(folder)
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open(self.folder / ".lock", "a+", encoding="utf-8")
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another run"
            file.close()
            raise ArtifactError(
                f"`{self.folder}` must be written by one run at a time. Found it locked by {owner}. "
                "Wait until that run ends, or choose another folder."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {_host()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            # Unlocked by name: a forked worker that still holds a copy of the file must not keep the lock.
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None


# ------------------------------------------------------------------------------------------ split


@dataclass(frozen=True)
class Split:
    """Which rows of a data set are to be forgotten and which are kept.

    Attributes:
        name: What people call it, e.g. ``forget10``; not part of the hash.
        forget: Row numbers to forget.
        retain: Row numbers to keep; none of them in ``forget``.
        source: What the rows are rows of, by content (a name and version, or a hash), so that the same data
            in another folder give the same split.
        rows: Number of rows of the whole data set.

    Raises:
        DataError: A side is empty, a row number is repeated, out of range or on both sides.

    >>> split = Split("demo", forget=(3,), retain=(0, 1, 2), source="generated, seed 0", rows=4)
    >>> len(split.hash)
    16
    """

    name: str
    forget: tuple[int, ...]
    retain: tuple[int, ...]
    source: str
    rows: int

    def __post_init__(self) -> None:
        for side in ("forget", "retain"):
            numbers = tuple(int(number) for number in getattr(self, side))
            object.__setattr__(self, side, numbers)
            self._check(side, numbers)
        both = sorted(set(self.forget) & set(self.retain))
        if both:
            raise DataError(
                f"`forget` and `retain` must not share rows. Found {len(both)} on both sides "
                f"({_shortened(both)}). Take them out of one side."
            )

    def _check(self, side: str, numbers: tuple[int, ...]) -> None:
        if not numbers:
            raise DataError(f"`{side}` must hold at least one row. Found none. Give it some rows.")
        outside = [number for number in numbers if not 0 <= number < self.rows]
        if outside:
            raise DataError(
                f"`{side}` must hold row numbers from 0 to {self.rows - 1}. Found {_shortened(outside)}. "
                "Check that the rows are counted in the whole data set."
            )
        repeated = len(numbers) - len(set(numbers))
        if repeated:
            raise DataError(
                f"`{side}` must name each row once. Found {repeated} repeated. Remove the repetitions."
            )

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of the content: source, number of rows, and both lists in their order."""
        return content_hash([self.source, self.rows, self.forget, self.retain])

    def save(self, path: AnyPath) -> None:
        """Write the split as JSON, atomically."""
        atomic_write_json(
            path,
            {
                "format": 1,
                "kind": "split",
                "name": self.name,
                "hash": self.hash,
                "source": self.source,
                "rows": self.rows,
                "forget": self.forget,
                "retain": self.retain,
            },
        )

    @classmethod
    def load(cls, path: AnyPath) -> Split:
        """Read a split.

        Raises:
            ArtifactError: The file is missing, half-written, no split, or was changed after it was saved.
        """
        found = read_json(path)
        try:
            split = cls(found["name"], found["forget"], found["retain"], found["source"], found["rows"])
            whole = found["kind"] == "split" and found["hash"] == split.hash
        except (KeyError, TypeError, DataError) as error:
            raise ArtifactError(
                f"`{path}` must be a split that a run saved. Found another content ({error!r}). "
                "Delete it and run again, or name the right file."
            ) from error
        if not whole:
            raise ArtifactError(
                f"`{path}` must be a split as it was saved. Found a content that differs from its hash "
                f"{found['hash']!r}. Delete it and run again."
            )
        return split

    def require_same(self, other: Split, what: str) -> None:
        """Refuse another split.

        Args:
            other: The split that ``what`` was made with.
            what: Name of the thing for the message, e.g. ``checkpoint``.

        Raises:
            MismatchError: The two splits differ in content.
        """
        if self.hash != other.hash:
            raise MismatchError(
                f"`{what}` must belong to the split of this run, {self.name!r} ({self.hash}: "
                f"{len(self.forget)} forget, {len(self.retain)} retain rows of {self.source}). "
                f"Found {other.name!r} ({other.hash}: {len(other.forget)} forget, {len(other.retain)} retain "
                f"rows of {other.source}). Use the same data and split, or make the {what} again."
            )


def _shortened(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown}, ..."
