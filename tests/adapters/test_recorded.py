"""The whole command line of every pipeline and runtime is the recorded one.

Set NEUROFLOW_TEST_RECORD=1 to write the files anew; then read the difference.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC
from neuroflow.adapters.runtimes import command_line
from tests.adapters.requests import SETTINGS, make_request

RECORDED = Path(__file__).parent / "recorded"
RUNTIMES = ("apptainer", "singularity", "docker", "podman", "host")
OLDER = [("qsiprep", "1.0.1"), ("qsiprep", "1.1.1"), ("qsiprep", "26.0.0"), ("qsirecon", "1.0.1")]


def _general(word: str) -> str:
    """Take out of an argument what differs between machines."""
    for text, name in (
        (str(SHIPPED_HEURISTIC), "{heuristic}"),
        (sys.executable, "{python}"),
        (str(Path(sys.executable).parent), "{bin}"),
        (f"{os.getuid()}:{os.getgid()}", "{user}"),
    ):
        word = word.replace(text, name)
    return word


def _compare(name: str, command: tuple[str, ...]) -> None:
    text = json.dumps([_general(word) for word in command], indent=1, ensure_ascii=False) + "\n"
    file = RECORDED / f"{name}.json"
    if os.environ.get("NEUROFLOW_TEST_RECORD"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("pipeline", SETTINGS)
def test_the_command_line_of_each_runtime_is_the_recorded_one(pipeline: str, runtime: str) -> None:
    run = get_adapter(pipeline).build(make_request(pipeline, runtime=runtime))

    _compare(f"{pipeline}-{runtime}", command_line(run, scratch="@SCRATCH@"))


@pytest.mark.parametrize(("pipeline", "version"), OLDER)
def test_the_arguments_of_older_versions_are_the_recorded_ones(pipeline: str, version: str) -> None:
    run = get_adapter(pipeline).build(make_request(pipeline, version=version))

    _compare(f"{pipeline}-{version}", run.arguments)


@pytest.mark.parametrize("pipeline", SETTINGS)
def test_the_commands_before_the_tool_are_the_recorded_ones(pipeline: str) -> None:
    run = get_adapter(pipeline).build(make_request(pipeline))

    _compare(f"{pipeline}-before", tuple(" ".join(command) for command in run.before))
