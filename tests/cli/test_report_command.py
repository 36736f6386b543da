"""`neuroflow report` on a small installation with an SQLite database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuroflow.report.document import MARK
from tests.cli.test_commands import Installation
from tests.cli.test_recovery_commands import DWI, fail
from tests.report.test_page import parts_of
from tests.support.states import add_session, end_run, open_run


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with a finished conversion and a failed one, whose log is there."""
    installation = Installation(tmp_path)
    installation.run("db", "upgrade")
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state, "01")).id)
        fail(state, "02", "no dwi", DWI, folder=tmp_path / "attempt")
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
