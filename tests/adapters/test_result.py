"""An ended attempt becomes a result that says why it failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.domain import ExitRecord
from tests.adapters.requests import make_request

GOOD = ExitRecord(
    token="t", job_id="1", exit_code=0, signal=None, host="n1", started_at=100.0, ended_at=160.5,
    stderr_tail="", max_rss_mb=512.0, published=True,
)  # fmt: skip
RUN = get_adapter("qsiprep").build(make_request("qsiprep"))


def test_a_published_run_succeeded() -> None:
    result = get_adapter("qsiprep").result(RUN, GOOD)

    assert result.success
    assert (result.exit_code, result.output_path, result.error_message) == (0, "/data/derivatives/qsiprep", None)
    assert result.duration_seconds == 60.5
    assert result.metrics["max_rss_mb"] == 512.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exit_code": 2, "stderr_tail": "usage\nerror: bad\n"}, "ended with exit code 2: error: bad"),
        ({"exit_code": 1}, "ended with exit code 1"),
        ({"exit_code": None, "signal": 9}, "ended by signal 9"),
        ({"missing_outputs": ("a/*.nii.gz",)}, "exit code 0, but without a/*.nii.gz"),
        ({"crash_files": ("log/crash-1.txt",)}, "left crash files: log/crash-1.txt"),
        ({"error": "no space left"}, "no space left"),
        ({"published": False}, "were not moved into /data/derivatives/qsiprep"),
        ({"exit_code": 1, "bad_input": "No DWI images found"}, "refused its input: No DWI images found"),
    ],
)
def test_each_failure_is_told(changes: dict[str, object], message: str) -> None:
    result = get_adapter("qsiprep").result(RUN, replace(GOOD, **changes))

    assert not result.success
    assert result.output_path is None
    assert result.error_message is not None
    assert message in result.error_message
