"""Where a result was made."""

from __future__ import annotations

import os
import platform

from unlearnkit.study.environment import hardware


def test_hardware_names_no_machine() -> None:
    found = hardware()
    assert found["cores"] == os.cpu_count()
    assert platform.node() not in str(found)
