"""SLURM's own words in a job's log tell of the memory, and nobody else's do."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.step_log import TAIL_BYTES, over_memory
from tests.cluster_layer.recordings import recorded

RECORDED = recorded("step_log_over_memory.txt")
WORDS = "StepId=2.0 exceeded memory limit (363941888 > 209715200), being killed"


def written(folder: Path, text: str) -> Path:
    path = folder / "17_0_log.err"
    path.write_text(text, encoding="utf-8")
    return path


def words_in(path: Path) -> str:
    look = LocalFolders().tails([str(path)], limit_bytes=TAIL_BYTES)[str(path)]
    return over_memory(look, path=str(path))


def test_the_recorded_words_are_found(tmp_path: Path) -> None:
    assert words_in(written(tmp_path, RECORDED)) == WORDS


def test_words_that_cut_into_another_line_are_found(tmp_path: Path) -> None:
    torn = "\n".join(RECORDED.splitlines()[2:3])
    assert words_in(written(tmp_path, torn)) == "Exceeded job memory limit"


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    noise = "x" * 99 + "\n"
    assert words_in(written(tmp_path, noise * 100_000 + RECORDED)) == WORDS
    assert words_in(written(tmp_path, RECORDED + noise * 100_000)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the tool: exceeded memory limit (2 > 1), being killed\n",
        "slurmstepd: error: *** JOB 17 ON n1 CANCELLED AT 2026-11-25T14:13:45 DUE TO TIME LIMIT ***\n",
        # Said of page cache, too, and of a job that goes on.
        "slurmstepd: error: Exceeded job memory limit at some point.\n",
    ],
)
def test_other_words_say_nothing(tmp_path: Path, text: str) -> None:
    assert words_in(written(tmp_path, text)) == ""


def test_a_log_that_cannot_be_trusted_says_nothing(tmp_path: Path) -> None:
    assert words_in(tmp_path / "absent") == ""
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path, RECORDED))
    assert words_in(link) == ""
