"""What is read in a tool's answer to `--version`."""

from __future__ import annotations

import pytest

from neuroflow.adapters.tool_answer import ToolAnswer, read_answer, same_release

PREPROC = "neuroflow demo preprocessing 1.0.0 (command line of QSIPrep 26.1.1)"  # containers/demo
RECON = "neuroflow demo reconstruction 1.0.0 (command line of QSIRecon 26.0.0)"


@pytest.mark.parametrize(
    ("pipeline", "text", "version"),
    [
        ("qsiprep", "QSIPrep v26.1.1", "26.1.1"),
        ("qsiprep", PREPROC, "26.1.1"),
        ("qsiprep", "numpy 1.26 and qsiprep v26.1.1", "26.1.1"),
        ("qsiprep", "qsiprep is here, 26.1.1", "26.1.1"),
        ("qsirecon", "QSIRecon v26.0.0", "26.0.0"),
        ("qsirecon", "QSIRecon v26.0.0rc1, reads QSIPrep 1.0.0", "26.0.0rc1"),
        ("qsirecon", RECON, "26.0.0"),
        ("bids_conversion", "1.5.1", "1.5.1"),
        ("bids_conversion", "heudiconv.py: 1.5.1\n", "1.5.1"),
        ("qsiparc", "qsiparc, version 0.1.2", "0.1.2"),
        ("qsiparc", "usage: qsiparc [-h]\nParcellate what QSIRecon 1.0.0 wrote", ""),
        ("qsiparc", "usage: qsiparc [-h]", ""),
        ("qsiparc", "", ""),
    ],
)
def test_the_version_of_the_own_tool(pipeline: str, text: str, version: str) -> None:
    assert read_answer(pipeline, text) == ToolAnswer(version)


@pytest.mark.parametrize(
    ("pipeline", "text", "tool", "version"),
    [
        ("qsiprep", RECON, "QSIRecon", "26.0.0"),
        ("qsiprep", "QSIRecon v26.0.0", "QSIRecon", "26.0.0"),
        ("qsirecon", PREPROC, "QSIPrep", "26.1.1"),
        ("bids_conversion", "qsiparc, version 0.1.2", "QSIParc", "0.1.2"),
    ],
)
def test_the_tool_of_another_pipeline(pipeline: str, text: str, tool: str, version: str) -> None:
    assert read_answer(pipeline, text, expected=version) == ToolAnswer(version, other_tool=tool)


def test_of_versions_without_a_name_the_expected_one_counts() -> None:
    assert read_answer("qsiprep", "Python 3.12.1\n26.1.1", expected="26.1.1").version == "26.1.1"
    assert read_answer("qsiprep", "Python 3.12.1\n26.1.1", expected="1.0.0").version == "3.12.1"


def test_versions_agree_as_far_as_they_are_written_out() -> None:
    assert same_release("26.1", "26.1.1")
    assert same_release("1.0.2rc1", "1.0.2")
    assert not same_release("26.1.1", "26.1.10")
