from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic.generated_folder import require_replaceable


def test_new_empty_and_generated_folders_may_be_written(tmp_path):
    require_replaceable(tmp_path / "new", "my mark")
    require_replaceable(tmp_path, "my mark")
    (tmp_path / "README.md").write_text("says my mark somewhere")
    (tmp_path / "rows.jsonl").write_text("{}")
    require_replaceable(tmp_path, "my mark")


@pytest.mark.parametrize("name", ["README.md", "notes.txt"])
def test_other_files_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationError, match=r"`folder` must be new, empty, .*Choose another folder"):
        require_replaceable(tmp_path, "my mark")
