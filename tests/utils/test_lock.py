"""An output has one writer at a time, and a killed one holds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyg_srgnn.utils.lock import sole_writer

HOLD = """
import sys, time
from pathlib import Path
from pyg_srgnn.utils.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    output = tmp_path / "new" / "top.parquet"
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None and first.stdout.readline() == "held\n"
            with pytest.raises(ValueError, match=f"{output}: another command"), sole_writer(output):
                pass
            with sole_writer(output.with_name("other")):  # of which nobody holds anything
                pass
        finally:
            first.kill()
    with sole_writer(output):
        pass
    assert not list(output.parent.iterdir())
