"""What every runtime's command line must hold."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.runtimes import command_line
from neuroflow.domain import Resources
from neuroflow.errors import AdapterError
from tests.adapters.requests import after, make_request


def test_an_unknown_runtime_is_named() -> None:
    run = replace(get_adapter("qsiparc").build(make_request("qsiparc")), runtime="lxc")

    with pytest.raises(AdapterError, match="no container runtime 'lxc'; there are: apptainer"):
        command_line(run)


def test_a_container_without_an_image_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(AdapterError, match="no image for qsiparc") as caught:
        get_adapter("qsiparc").build(make_request("qsiparc", image=None))

    assert "pipelines.qsiparc.image" in caught.value.hint


def test_apptainer_gets_all_variables_as_one_csv_record() -> None:
    value = 'a,b="c"'
    run = get_adapter("qsiparc").build(make_request("qsiparc", containers={"environment": {"X": value}}))

    (record,) = csv.reader([after(command_line(run), "--env")], strict=True)

    assert dict(field.split("=", 1) for field in record) == {**run.environment}
    assert run.environment["X"] == value


def test_a_lone_variable_still_makes_a_csv_record() -> None:
    run = replace(get_adapter("qsiparc").build(make_request("qsiparc")), environment={"X": 'ends with "'})

    (record,) = csv.reader([after(command_line(run), "--env")], strict=True)

    assert record[0] == 'X=ends with "'
    assert len(record) > 1


def test_a_pipelines_variables_win_over_the_sites_and_those_over_ours() -> None:
    request = make_request(
        "qsiparc",
        containers={"environment": {"A": "site", "B": "site", "OMP_NUM_THREADS": "3"}},
        settings={"environment": {"B": "pipeline"}},
    )

    environment = get_adapter("qsiparc").build(request).environment

    assert (environment["A"], environment["B"], environment["OMP_NUM_THREADS"]) == ("site", "pipeline", "3")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "A B", "é"])
def test_a_variable_name_that_no_shell_knows_is_refused(name: str) -> None:
    with pytest.raises(AdapterError, match="environment variable"):
        get_adapter("qsiparc").build(make_request("qsiparc", containers={"environment": {name: "x"}}))


def test_the_containers_name_is_the_token_so_that_it_can_be_stopped() -> None:
    request = make_request("qsiparc", runtime="docker")

    assert after(command_line(get_adapter("qsiparc").build(request)), "--name") == request.token


def test_gpus_and_the_sites_own_options_precede_the_image() -> None:
    request = make_request(
        "qsiprep",
        containers={"runtime_args": ["--userns"]},
        settings={"runtime_args": ["--fakeroot"]},
        resources=Resources(cpus=1, memory_mb=1000, time_minutes=1, gpus=1),
    )

    command = command_line(get_adapter("qsiprep").build(request))

    start = command.index("--nv")
    assert command[start : start + 4] == ("--nv", "--userns", "--fakeroot", request.image)


def test_further_arguments_of_the_configuration_come_last() -> None:
    request = make_request("qsiprep", settings={"args": ["--infant", "a b"]})

    assert command_line(get_adapter("qsiprep").build(request))[-2:] == ("--infant", "a b")


def test_on_the_host_the_tool_beside_this_python_runs() -> None:
    run = get_adapter("qsiparc").build(make_request("qsiparc", runtime="host", python=sys.executable))

    assert run.program == (str(Path(sys.executable).parent / "qsiparc"),)


def test_on_the_host_a_tool_finds_what_is_installed_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s; $(touch x) "b"'
    folder.mkdir()
    for name, text in (("tool", '#!/bin/sh\nhelper "$@"\n'), ("helper", "#!/bin/sh\nprintf '<%s>' \"$@\"\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    run = replace(
        get_adapter("qsiparc").build(make_request("qsiparc", runtime="host")),
        program=(str(folder / "tool"),),
        arguments=("a b", "$HOME", "it's\n"),
    )

    done = subprocess.run(command_line(run), capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path)

    assert done.stdout == "<a b><$HOME><it's\n>"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_on_the_host_a_configured_program_runs_as_it_is() -> None:
    request = make_request("qsiprep", runtime="host", settings={"program": ["python3", "/opt/app.py"]})

    assert command_line(get_adapter("qsiprep").build(request))[:2] == ("python3", "/opt/app.py")
