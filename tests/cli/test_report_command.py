"""`neuroflow report` on a small installation with an SQLite database."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from neuroflow.domain import Level, RunProposal
from neuroflow.report.document import MARK, PARTS
from tests.cli.test_commands import Installation
from tests.cli.test_recovery_commands import DWI, fail, refuse
from tests.report.test_page import parts_of
from tests.support.states import add_session, end_run, found, open_run

INPUTS = "dicom:f1"  # of a session as tests find it


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with a finished conversion and a failed one, whose log is there."""
    installation = Installation(tmp_path)
    installation.run("db", "upgrade")
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state, "01"), key=INPUTS).id)
        fail(state, "02", "no dwi", DWI, folder=tmp_path / "attempt", key=INPUTS)
    monkeypatch.chdir(tmp_path)
    return installation


def data_of(path: Path) -> Any:
    return json.loads(parts_of(path).data_text)


def test_the_page_is_written_here_and_its_name_and_size_are_told(installation: Installation, tmp_path: Path) -> None:
    said = installation.run("report").stdout
    assert said.startswith(f"{tmp_path}/neuroflow-report.html  0.1 MB, 2 sessions\n")
    assert MARK in (tmp_path / "neuroflow-report.html").read_text()
    installation.run("report")  # over its own


def test_it_has_the_states_the_failure_and_its_log(installation: Installation, tmp_path: Path) -> None:
    outcome = installation.json("report", "--title", "  Study   7 ")
    assert (outcome["schema"], outcome["sessions"], outcome["runs"], outcome["failures"]) == (1, 2, 2, 1)
    data = data_of(tmp_path / "neuroflow-report.html")
    assert data["title"] == "Study 7"
    assert data["sessions"]["states"] == ["CF", "NB", "NB", "NB"]
    assert (data["failures"][0]["waiting"], data["failures"][0]["signature"]) == (1, DWI)
    assert data["failures"][0]["lines"] == ["first line", "Error: no dwi\\x1b[31m of 02"]
    assert data["provenance"]["database"].endswith("neuroflow.db")
    assert "bids_root" in data["provenance"]["settings"]


def test_each_cell_agrees_with_the_scheduler(installation: Installation, tmp_path: Path) -> None:
    with installation.state() as state:
        for subject in ("03", "04", "05"):
            session = add_session(state, subject)
            key = INPUTS
            for name in ("bids_conversion", "qsiprep", "qsirecon", "qsiparc"):
                level = Level.SUBJECT if name == "qsiprep" else Level.SESSION
                scope = f"sub-{subject}" if level is Level.SUBJECT else session.scope
                number = None if level is Level.SUBJECT else session.id
                run = state.open_run(
                    RunProposal(name, level, scope, session.subject_id, number, inputs_key=key, reason="first run")
                )
                assert run is not None
                end_run(state, run.id)
                key = f"{name}:{run.id}"
        late = found("05", fingerprint="f2", missing=("dwi",))
        state.record_scan([found("03", fingerprint="f2"), found("04", fingerprint="f2"), late], settle_minutes=0)
        folder = tmp_path / "second"
        again = state.find_session("03", "a")
        assert again is not None
        refuse(state, open_run(state, again, key="dicom:f2").id, folder=folder)
    installation.run("report")
    data = data_of(tmp_path / "neuroflow-report.html")
    rows = ["".join(letters) for letters in zip(*data["sessions"]["states"], strict=True)]
    assert rows == ["CNNN", "FBBB", "FBBB", "OOOO", "IIII"]
    words = {"C": "current", "N": "coming", "O": "coming", "F": "blocked", "B": "absent", "I": "absent"}
    exported = csv.DictReader(installation.run("export", "sessions").stdout.splitlines(), delimiter="\t")
    names = [pipeline["name"] for pipeline in data["pipelines"]]
    assert [[row[f"{name}_state"] for name in names] for row in exported] == [
        [words[letter] for letter in row] for row in rows
    ]
    why = data["texts"][data["sessions"]["reasons"][2]["2"]]
    assert why.startswith("qsiprep of sub-03: no session has passed bids_conversion")
    assert [(pipeline["counts"].get("C", 0), pipeline["total"]) for pipeline in data["pipelines"]] == [
        *((1, 4), (0, 4), (0, 4), (0, 4))
    ]


def test_it_names_no_secret(installation: Installation, tmp_path: Path) -> None:
    text = installation.config.read_text() + "redis:\n  url: redis://:hunter2@redis.example:6379/0\n"
    installation.config.write_text(text)
    installation.run("report")
    page = (tmp_path / "neuroflow-report.html").read_text()
    assert "redis.example" in page
    assert "hunter2" not in page


def test_some_subjects_and_some_time(installation: Installation, tmp_path: Path) -> None:
    installation.run("report", "--subject", "sub-02", "--since", "2200-01-01")
    data = data_of(tmp_path / "neuroflow-report.html")
    assert (data["subjects"], data["flow"]["first"]) == (["02"], None)
    assert data["failures"][0]["waiting"] == 1  # what waits is there whatever its age
    error = installation.run("report", "--subject", "2", code=3).stderr
    assert "there is no subject '2'. Did you mean '02'? 2 subjects are known" in error


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "d", "-3d", "9999999d"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    installation = Installation(tmp_path)
    assert f"'{value}' is no time: say how long ago" in installation.run("report", "--since", value, code=2).stderr


def test_a_title_that_is_none_is_refused(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert "1 to 200 characters, this one 0" in installation.run("report", "--title", " ", code=2).stderr


def test_another_file_is_not_replaced_unasked(installation: Installation, tmp_path: Path) -> None:
    other = tmp_path / "index.html"
    other.write_text("<html>somebody's own</html>")
    assert "is no report of neuroflow" in installation.run("report", "--output", str(other), code=2).stderr
    assert "somebody" in other.read_text()
    installation.run("report", "--output", str(other), "--force")
    assert MARK in other.read_text()


def test_without_figures_no_result_is_looked_at(installation: Installation) -> None:
    outcome = installation.json("report", "--no-figures")
    assert (outcome["results_read"], outcome["results_left"], outcome["reports_linked"]) == (0, 0, 0)


def test_an_empty_database_makes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(tmp_path)
    installation.run("db", "upgrade")
    monkeypatch.chdir(tmp_path)
    assert "0 sessions" in installation.run("report").stdout


def test_the_anonymous_page_has_a_name_of_its_own_and_nothing_of_the_lab(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada.lovelace")  # whom Python takes for the user
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state, "Smith1970", "visit20240312")).id)
    installation.run("report", "--anonymous")
    assert not (tmp_path / "neuroflow-report.html").exists()
    path = tmp_path / "neuroflow-report-anonymous.html"
    page = path.read_text()
    known = ["Smith1970", "visit20240312", "sub-0", "ses-a", str(tmp_path), "attempt/", "no dwi", "first line"]
    known += [tmp_path.name, "ada.lovelace"]
    for part in PARTS.glob("*.*s*"):  # its script and style speak of "sub-01" and the like
        page = page.replace(part.read_text(), "")
    assert [word for word in known if word in page] == []
    data = data_of(path)
    assert (data["madeBy"], data["provenance"]["host"], data["provenance"]["database"]) == ("", "", "")
    assert (data["title"], sorted(data["subjects"])) == ("Cohort: diffusion MRI", ["1", "2", "3"])
    installation.run("report", "--anonymous")
    assert data_of(path)["sessions"] == data["sessions"]  # the same numbers again
    installation.run("report", "--anonymous", "--subject", "Smith1970")
    assert set(data_of(path)["subjects"]) < set(data["subjects"])  # and its own number alone
