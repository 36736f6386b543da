"""The end of a log: of the errors first, without empty lines, and none of another's file."""

from __future__ import annotations

from pathlib import Path

from neuroflow.cluster.folders import LocalFolders
from neuroflow.views.log_ends import LINES, LogEnd, log_ends


def test_errors_come_before_output_and_the_end_before_the_start(tmp_path: Path) -> None:
    both, output, neither = (tmp_path / name for name in ("both", "output", "neither"))
    for folder in (both, output, neither):
        folder.mkdir()
    (both / "stderr.log").write_text("".join(f"line {number}\n\n" for number in range(LINES + 1)))
    (both / "stdout.log").write_text("not this")
    (output / "stderr.log").write_text(" \n")
    (output / "stdout.log").write_bytes(b"10 %\r20 %\r\nwent \xff wrong  \n")
    (neither / "stdout.log").symlink_to(both / "stdout.log")
    ends = log_ends(LocalFolders(), [str(both), str(output), str(neither)])
    assert ends[str(both)] == LogEnd(f"{both}/stderr.log", tuple(f"line {number}" for number in range(1, LINES + 1)))
    assert ends[str(output)] == LogEnd(f"{output}/stdout.log", ("10 %", "20 %", "went � wrong"))
    assert ends[str(neither)] == LogEnd()
