from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit import artifacts
from unlearnkit.artifacts import (
    FolderLock,
    Split,
    atomic_folder,
    atomic_write_json,
    atomic_write_text,
    content_hash,
    plain,
    read_json,
)
from unlearnkit.errors import ArtifactError, DataError, MismatchError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)

ROOT = Path(__file__).parents[1]


def run_killed(code: str, *arguments: str) -> None:
    """Run code that kills its own process."""
    process = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, timeout=60, check=False)
    assert process.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# ------------------------------------------------------------------------------------------ hashes


@given(json_values)
def test_hash_ignores_key_order_and_tuple_or_list(value):
    def reordered(item):
        if isinstance(item, dict):
            return {key: reordered(item[key]) for key in reversed(list(item))}
        if isinstance(item, list):
            return tuple(reordered(part) for part in item)
        return item

    assert content_hash(value) == content_hash(reordered(value))


def test_hash_is_pinned_because_saved_splits_carry_it():
    assert content_hash({"b": [1, 2.5, None], "a": "é"}) == "84afbf1d4853005f"
    assert content_hash([1]) != content_hash([2]) != content_hash(["2"])


@given(json_values)
def test_plain_round_trips_through_strict_json(value):
    made = plain(value)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_foreign_types_are_named_with_their_place():
    with pytest.raises(DataError, match=r"`value\.summary\.x\[1\]` must be .* Found complex\. Convert"):
        plain({"summary": {"x": [1, 1j]}})


# ------------------------------------------------------------------------------------------- files


def test_json_keeps_key_order_text_and_writes_nan_as_null(tmp_path):
    path = tmp_path / "new" / "folders" / "results.json"
    atomic_write_json(path, {"z": math.nan, "a": math.inf, "name": "Żuław", "n": (1, 2)})
    assert path.read_text(encoding="utf-8").startswith('{\n "z": null,\n "a": null,\n "name": "Żuław"')
    assert list(read_json(path)) == ["z", "a", "name", "n"]
    assert read_json(path)["n"] == [1, 2]
    assert names(path.parent) == ["results.json"]


def test_refused_value_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    atomic_write_json(path, {"good": 1})
    with pytest.raises(DataError):
        atomic_write_json(path, {"bad": object()})
    assert read_json(path) == {"good": 1}


def test_text_that_cannot_be_encoded_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"no\.json` must be .* Found nothing there\."):
        read_json(tmp_path / "no.json")


@pytest.mark.parametrize("content", [b"", b'{"rows": [1, 2', b"\xff\xfe\x00", b'{"a": 1} {"a"'])
def test_a_half_written_file_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"results\.json` must be whole JSON.*Delete it and run again\."):
        read_json(path)
    with pytest.raises(OSError):
        read_json(path)


def test_concurrent_writers_and_readers_see_whole_files_only(tmp_path):
    path = tmp_path / "results.json"
    atomic_write_json(path, [0] * 2000)

    def write(number: int) -> None:
        for _ in range(20):
            atomic_write_json(path, [number] * 2000)
            found = read_json(path)
            assert len(found) == 2000 and len(set(found)) == 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))  # raises what a writer raised
    assert names(tmp_path) == ["results.json"]


def test_file_mode_follows_the_umask_not_a_private_temporary_file(tmp_path):
    old = os.umask(0o022)
    try:
        atomic_write_text(tmp_path / "shared.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "shared.txt").stat().st_mode & 0o777 == 0o644


# ----------------------------------------------------------------------------------------- folders


def test_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "runs" / "model"
    for turn in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / turn).write_text(turn)
            assert folder.parent == target.parent
            assert not (target / turn).exists()
        assert names(target) == [turn]
    assert names(target.parent) == ["model"]


def test_an_exception_leaves_the_old_folder(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("old")

    def stopped() -> None:
        with atomic_folder(target) as folder:
            (folder / "weights").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_kill_leaves_the_old_folder_and_the_next_run_clears_the_rest(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("old")
    run_killed(
        "import os, signal, sys\n"
        "from unlearnkit.artifacts import atomic_folder\n"
        "with atomic_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'weights').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        str(target),
    )
    assert (target / "weights").read_text() == "old"
    assert len(names(tmp_path)) == 2
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
    assert (target / "weights").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("old")
    run_killed(
        "import os, pathlib, signal, sys\n"
        "from unlearnkit.artifacts import atomic_folder\n"
        "rename = pathlib.Path.rename\n"
        "def stop(self, to):\n"
        "    rename(self, to)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "with atomic_folder(sys.argv[1]) as folder:\n"
        "    pathlib.Path.rename = stop\n",
        str(target),
    )
    assert not target.exists()
    with pytest.raises(ZeroDivisionError), atomic_folder(target):
        raise ZeroDivisionError
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_temporary_folders_of_living_processes_are_left_alone(tmp_path):
    with atomic_folder(tmp_path / "model") as outer, atomic_folder(tmp_path / "model") as inner:
        assert outer != inner
        assert outer.is_dir() and inner.is_dir()


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ArtifactError, match="model` must be a folder"), atomic_folder(tmp_path / "model"):
        pass
    assert (tmp_path / "model").read_text() == "mine"


# -------------------------------------------------------------------------------------------- lock


def test_lock_keeps_a_second_run_out_and_names_the_first(tmp_path):
    folder = tmp_path / "new" / "run"
    with FolderLock(folder):
        with pytest.raises(
            ArtifactError, match=rf"run` must be .* locked by process {os.getpid()} on .*Wait"
        ):
            FolderLock(folder).__enter__()
        other = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from unlearnkit.artifacts import FolderLock; FolderLock(sys.argv[1]).__enter__()",
                str(folder),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert other.returncode == 1
        assert "Found it locked by process" in other.stderr
    with FolderLock(folder):
        pass


def test_lock_of_a_killed_process_is_taken_over(tmp_path):
    run_killed(
        "import os, signal, sys\n"
        "from unlearnkit.artifacts import FolderLock\n"
        "FolderLock(sys.argv[1]).__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
        str(tmp_path),
    )
    assert (tmp_path / ".lock").read_text().startswith("process ")
    with FolderLock(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} ")


def test_lock_is_dropped_on_an_exception(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    with FolderLock(tmp_path):
        pass


# ------------------------------------------------------------------------------------------- split


def split(**changes: object) -> Split:
    fields = {"name": "demo", "forget": (3,), "retain": (0, 1, 2), "source": "generated", "rows": 4}
    return Split(**{**fields, **changes})  # type: ignore[arg-type]


@given(
    st.sets(st.integers(0, 50), min_size=2), st.integers(1, 50), st.text(max_size=10), st.text(max_size=10)
)
def test_split_round_trips(tmp_path_factory, numbers, cut, name, source):
    listed = list(numbers)
    cut = min(cut, len(listed) - 1)
    made = Split(name, tuple(listed[:cut]), tuple(listed[cut:]), source, 51)
    path = tmp_path_factory.mktemp("split") / "split.json"
    made.save(path)
    found = Split.load(path)
    assert found == made
    assert found.hash == made.hash


def test_split_hash_covers_content_and_not_the_name():
    assert split(name="other").hash == split().hash
    changes: list[dict[str, object]] = [
        {"forget": (2,), "retain": (0, 1, 3)},
        {"retain": (0, 1)},
        {"retain": (1, 0, 2)},
        {"source": "hub"},
        {"rows": 5},
        {"forget": (0, 1, 2), "retain": (3,)},
    ]
    hashes = {split(**change).hash for change in changes}
    assert len(hashes) == len(changes)
    assert split().hash not in hashes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget": ()}, r"`forget` must hold at least one row\. Found none"),
        ({"retain": ()}, r"`retain` must hold at least one row\. Found none"),
        ({"retain": (1, 2, 3)}, r"`forget` and `retain` must not share rows\. Found 1 on both sides \(3\)"),
        ({"retain": (0, 4)}, r"`retain` must hold row numbers from 0 to 3\. Found 4\."),
        ({"forget": (-1,)}, r"`forget` must hold row numbers from 0 to 3\. Found -1\."),
        ({"retain": (0, 0, 1)}, r"`retain` must name each row once\. Found 1 repeated"),
    ],
)
def test_split_rules(changes, message):
    with pytest.raises(DataError, match=message):
        split(**changes)


def test_long_lists_are_shortened_in_messages():
    with pytest.raises(DataError, match=r"Found 100, 101, 102, 103, 104, \.\.\.\."):
        split(retain=tuple(range(100)), rows=0, forget=tuple(range(100, 200)))


def test_another_split_is_refused_with_both_named():
    split().require_same(split(name="same rows"), "checkpoint")
    with pytest.raises(MismatchError, match=r"`checkpoint` must belong .*'demo'.*Found 'forget01'.*make the"):
        split().require_same(split(name="forget01", retain=(0, 1)), "checkpoint")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 1, "rows": []}', "3"])
def test_other_json_is_not_a_split(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"split\.json` must be a split that a run saved"):
        Split.load(tmp_path / "split.json")


def test_a_split_changed_by_hand_is_refused(tmp_path):
    path = tmp_path / "split.json"
    split().save(path)
    path.write_text(path.read_text().replace('"source": "generated"', '"source": "hub"'))
    with pytest.raises(ArtifactError, match="differs from its hash"):
        Split.load(path)


def test_module_needs_no_third_party_package():
    code = (
        "import sys; import unlearnkit.artifacts; "
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert artifacts.__doc__
