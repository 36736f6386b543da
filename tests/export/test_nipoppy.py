"""Nipoppy itself reads what is exported for it: its own class, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuroflow.core.pages import RowFilter
from neuroflow.export.nipoppy import NIPOPPY
from neuroflow.export.row_tables import nipoppy_table
from tests.export.cohort import Cohort
from tests.support.require import require

# Beside our environment: with all that it depends on, Nipoppy brings an older pandas than we have.
PARTS = Path(os.environ.get("NEUROFLOW_TEST_NIPOPPY", Path(sys.prefix) / "nipoppy-0.4"))
HOW = "`make venv` installs it: pip install --no-deps --target .venv/nipoppy-0.4 nipoppy==0.4.8 rich-click json5"
READ = """
import json, sys
from nipoppy.tabular.processing_status import ProcessingStatusTable

table = ProcessingStatusTable.load(sys.argv[1])
done = {
    name: sorted(list(pair) for pair in table.get_completed_participants_sessions(name, sys.argv[2], "default"))
    for name in sorted(set(table["pipeline_name"]))
}
print(json.dumps({"columns": list(table.columns), "rows": table.to_dict(orient="records"), "done": done}))
"""


@pytest.mark.slow
def test_nipoppy_loads_the_table_and_finds_what_is_done(cohort: Cohort, tmp_path: Path) -> None:
    is_here = (PARTS / "nipoppy").is_dir() and importlib.util.find_spec("pandas") is not None
    require("nipoppy", is_here, HOW)
    cohort.add("01/a", "01/b", "007/1")
    cohort.process(failing="qsirecon sub-01/ses-b")
    cohort.add("02/a")
    path = tmp_path / "processing_status.tsv"
    table = nipoppy_table(cohort.services, RowFilter())
    path.write_text("".join(table.lines))

    command = [sys.executable, "-W", "ignore", "-c", READ, str(path), "unknown"]
    environment = {**os.environ, "PYTHONPATH": str(PARTS)}
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)

    read = json.loads(answer.stdout)
    assert read["columns"] == [column.name for column in NIPOPPY]
    assert len(read["rows"]) == 12
    assert read["done"] == {
        "qsiprep": [["007", "1"], ["01", "a"], ["01", "b"]],
        "qsirecon": [["007", "1"], ["01", "a"]],
        "qsiparc": [["007", "1"], ["01", "a"]],
    }
    states = {(row["participant_id"], row["session_id"], row["pipeline_name"]): row["status"] for row in read["rows"]}
    assert states["01", "b", "qsirecon"] == "FAIL"
    assert states["01", "b", "qsiparc"] == "UNAVAILABLE"
    assert states["02", "a", "qsiparc"] == "INCOMPLETE"
