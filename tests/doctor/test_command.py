"""`neuroflow doctor`, as it is used."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from click.testing import CliRunner, Result

from neuroflow.cli.main import cli
from neuroflow.doctor.registry import CHECKS
from tests.doctor.conftest import Patient

FINE = ("--only", "configuration", "--skip", "services", "--skip", "qsirecon-names")


def doctor(patient: Patient, *arguments: str, code: int = 0, command: str = "doctor") -> Result:
    # The tests' own variables are none of neuroflow's: doctor would warn of them.
    hidden = {name: None for name in os.environ if name.startswith("NEUROFLOW_")}
    result = CliRunner().invoke(cli, ["--config", str(patient.file), command, *arguments], color=False, env=hidden)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_without_errors_the_exit_code_is_0(patient: Patient) -> None:
    lines = doctor(patient, *FINE).stdout.splitlines()
    assert lines[0] == "configuration"
    assert lines[1].startswith("  ok       configuration: read from ")
    assert lines[-1] == "0 errors, 0 warnings, 4 ok, 1 skipped"


def test_an_error_is_told_in_full_at_the_end_and_the_exit_code_is_1(patient: Patient) -> None:
    patient.write(paths={"freesurfer_license": "none.txt"}).chmod(0o666)
    output = doctor(patient, *FINE, code=1).stdout
    assert "\x1b" not in output
    problems = output.split("\n\n")[1:]
    assert [text.splitlines()[0] for text in problems] == [
        "ERROR config-file-missing",
        "ERROR config-writable",
        "2 errors, 0 warnings, 2 ok, 1 skipped",
    ]
    assert problems[1].splitlines()[3] == f"  mend  chmod o-w {patient.file}"


def test_warnings_are_errors_if_asked(patient: Patient) -> None:
    patient.write(doctor={"free_gb": 1e9})
    doctor(patient, "--only", "space")
    doctor(patient, "--only", "space", "--strict", code=1)


def test_json_for_programs(patient: Patient) -> None:
    patient.file.chmod(0o666)
    report: dict[str, Any] = json.loads(doctor(patient, *FINE, "--json", code=1).stdout)
    assert (report["schema"], report["exit_code"]) == (1, 1)
    assert report["summary"] == {"errors": 1, "warnings": 0, "ok": 3, "skipped": 1}
    [bad] = [one for one in report["findings"] if one["severity"] == "error"]
    assert bad["code"] == "config-writable"
    assert set(bad) == {"code", "severity", "check", "what", "why", "mend", "host", "topic"}


def test_a_configuration_that_can_not_be_read_is_a_finding(patient: Patient) -> None:
    patient.write(cluster={"kind": "y"})
    output = doctor(patient, code=1).stdout
    assert "ERROR config-invalid" in output
    assert "checks wait until the errors below are mended" in output
    assert "not looked at" not in output
    assert "Traceback" not in output


def test_the_list_names_every_check(patient: Patient) -> None:
    output = doctor(patient, "--list").stdout
    assert all(check.name in output and check.about in output for check in CHECKS)


def test_topics_can_be_named_too(patient: Patient) -> None:
    found = json.loads(doctor(patient, "--only", "redis", "--json", code=1).stdout)["findings"]
    assert {one["topic"] for one in found} == {"Redis"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "redsi"), "there is no check or topic 'redsi'; did you mean 'redis'?"),
        (("--skip", "nothing"), "`neuroflow doctor --list` lists them"),
        (("--partition", "main"), "need --node"),
    ],
)
def test_a_wrong_command_line(patient: Patient, arguments: tuple[str, ...], said: str) -> None:
    assert said in doctor(patient, *arguments, code=2).stderr


def test_a_node_where_there_is_none(patient: Patient) -> None:
    assert "cluster.kind is `local`: there are no nodes" in doctor(patient, *FINE, "--node").stdout


def test_control_characters_do_not_reach_the_terminal(patient: Patient) -> None:
    patient.write(containers={"binds": ["/no\x9bsuch:/data"]})
    assert "\x9b" not in doctor(patient, "--only", "binds", code=1).stdout
