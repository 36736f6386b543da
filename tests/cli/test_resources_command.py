"""`neuroflow resources` shows what was used, and with --apply changes the files that hold the requests."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuroflow.cli.config_change import Change, Edit, plan_change, put_in_place
from neuroflow.config import NeuroflowConfig
from neuroflow.domain import Resources
from neuroflow.errors import ConfigError
from neuroflow.orchestrator.services import WORKER_CONFIG_KEY
from tests.cli.test_commands import Installation
from tests.support.states import SUCCESS, add_session, open_run

ENDED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = Resources(cpus=8, memory_mb=32_000, time_minutes=720)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 25 runs of qsirecon, of an hour each, with a tenth of their memory and one core of eight."""
    installation = Installation(tmp_path_factory.mktemp("finished"))
    installation.run("db", "upgrade")
    verdict = replace(SUCCESS, max_rss_mb=3_200.0, cpu_seconds=3600.0, elapsed_seconds=3600.0)
    with installation.state() as state:
        for number in range(25):
            run = open_run(state, add_session(state, f"{number:02}"), "qsirecon")
            attempt = state.claim_run(
                run.id, token=f"nf-{number}", where="slurm", folder="/f", resources=ASKED, image="/a.sif", limit=99
            )
            assert attempt is not None
            assert state.record_submitted(attempt.id, str(number))
            times = {"started_at": ENDED - timedelta(hours=1), "ended_at": ENDED}
            assert state.record_verdict(attempt.id, replace(verdict, **times), None, None)
    return installation.folder


@pytest.fixture
def used(finished: Path, tmp_path: Path) -> Installation:
    """An installation of one's own with those runs."""
    folder = tmp_path / "used"
    folder.mkdir()
    installation = Installation(folder)
    shutil.copytree(finished / "state", folder / "state")
    return installation


def test_what_was_used_is_shown_beside_what_is_asked_for(used: Installation) -> None:
    shown = used.run("resources", "qsirecon").output
    assert "25 runs in 25 attempts, 2026-03-01" in shown
    assert "memory (MiB)     32,000      3,200      3,200      3,200    10%      4,000" in shown
    assert "100 runs cost 800 core-hours" in shown
    assert "as suggested 100 core-hours" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "no run has succeeded" in used.run("resources", "qsiprep").output


def test_programs_get_the_same(used: Installation) -> None:
    report = used.json("resources")
    assert (report["schema"], report["percentile"]) == (1, 95)
    (recon,) = [one for one in report["pipelines"] if one["pipeline"] == "qsirecon"]
    assert {part["key"]: part["suggested"] for part in recon["parts"]} == {
        "memory_mb": 4_000,
        "time_minutes": 75,
        "cpus": 1,
    }
    header, *lines = used.run("resources", "--tsv").stdout.splitlines()
    assert header.startswith("pipeline\tpart\tunit\t")
    assert {line.count("\t") for line in (header, *lines)} == {13}


def test_figures_since_a_day_and_of_sites_are_asked_for(used: Installation) -> None:
    assert "no run has succeeded" in used.run("resources", "qsirecon", "--since", "2026-03-02").output
    assert "  1 session: 25 runs" in used.run("resources", "qsirecon", "--by", "sessions").output
    assert used.run("resources", "qsirecon", "--only", "time", "--json").output.count('"suggested": null') == 2


def test_a_dry_run_shows_the_change_and_makes_none(used: Installation) -> None:
    before = used.config.read_bytes()
    shown = used.run("resources", "--apply", "--dry-run").output
    assert "+    memory_mb: 4000\n" in shown
    assert used.config.read_bytes() == before
    assert [path.name for path in used.folder.glob("*neuroflow.yaml*")] == ["neuroflow.yaml"]


def test_suggestions_are_written_and_the_old_file_is_kept(used: Installation) -> None:
    before = used.config.read_bytes() + b"pipelines: # ours\n  qsirecon:\n    memory_mb: 32000 # as told\n"
    used.config.write_bytes(before)
    used.config.chmod(0o640)
    left = used.folder / ".neuroflow.77.new.yaml"  # by one that was killed long ago
    left.write_bytes(before)
    os.utime(left, (0, 0))
    shown = used.run("resources", "--apply", "--yes").output
    expected = b"    memory_mb: 4000 # as told\n    time_minutes: 75\n    cpus: 1\n"
    assert used.config.read_bytes().endswith(b"pipelines: # ours\n  qsirecon:\n" + expected)
    assert used.config.stat().st_mode & 0o777 == 0o640
    (backup,) = used.folder.glob("neuroflow.yaml.bak-*")
    assert backup.read_bytes() == before
    assert backup.name in shown
    assert "There is nothing to change" in used.run("resources", "--apply", "--yes").output
    assert sorted(path.name for path in used.folder.glob(".*")) == []


def test_workers_that_run_are_to_be_told(used: Installation) -> None:
    with used.state() as state:
        state.set_value(WORKER_CONFIG_KEY, {"digest": "another"})
    assert "start worker and beat again" in used.run("resources", "--apply", "--yes").output


def test_nobody_is_asked_where_nobody_is(used: Installation) -> None:
    assert "nobody is there to ask" in used.run("resources", "--apply", code=2).output
    assert "belong to --apply" in used.run("resources", "--yes", code=2).output


def test_the_environment_is_in_the_way(used: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLOW_PIPELINES__QSIRECON__MEMORY_MB", "32000")
    shown = used.run("resources", "--apply", "--yes").output
    assert "environment NEUROFLOW_PIPELINES__QSIRECON__MEMORY_MB sets it" in shown
    assert b"memory_mb" not in used.config.read_bytes()
    assert b"time_minutes: 75" in used.config.read_bytes()
    monkeypatch.setenv("NEUROFLOW_PIPELINES__QSIRECON__TIME_MINUTES", "720")
    monkeypatch.setenv("NEUROFLOW_PIPELINES__QSIRECON__CPUS", "8")
    assert "none of the suggestions can be written" in used.run("resources", "--apply", "--yes", code=2).output


def test_a_site_file_of_ones_own_is_changed_where_it_sets_the_value(used: Installation) -> None:
    site = used.folder / "ours.yaml"
    site.write_text("pipelines:\n  qsirecon: {memory_mb: 32000} # of all studies\n")
    used.config.write_text(f"site: ours.yaml\n{used.config.read_text()}")
    used.run("resources", "--apply", "--yes")
    assert site.read_text() == "pipelines:\n  qsirecon: {memory_mb: 4000} # of all studies\n"
    assert NeuroflowConfig.find_and_load(used.config).pipelines.qsirecon.time_minutes == 75


def test_a_configuration_behind_a_link_stays_behind_it(used: Installation) -> None:
    real = used.folder / "kept" / "study.yaml"
    real.parent.mkdir()
    used.config.rename(real)
    used.config.symlink_to(real)
    used.run("resources", "--apply", "--yes")
    assert used.config.is_symlink()
    assert "memory_mb: 4000" in real.read_text()


def test_a_value_that_others_share_is_left_alone(used: Installation) -> None:
    shared = "pipelines:\n  qsirecon: &r {memory_mb: 32000}\n  qsiparc: *r\n"
    used.config.write_text(used.config.read_text() + shared)
    before = used.config.read_bytes()
    shown = used.run("resources", "--apply", "--yes", code=2).output
    assert "pipelines.qsirecon.memory_mb can't be set here" in shown
    assert "set it to 4000 by hand" in shown
    assert used.config.read_bytes() == before


@pytest.mark.parametrize(
    ("after", "why"), [(b"nonsense: 1\n", "nonsense"), (b"", "would be None, not 4000")], ids=["invalid", "other"]
)
def test_what_is_not_valid_or_not_what_was_wanted_is_not_written(used: Installation, after: bytes, why: str) -> None:
    before = used.config.read_bytes()
    edit = Edit(used.config, used.config, before, before + after)
    change = Change(used.config, (edit,), {("pipelines", "qsirecon", "memory_mb"): 4000}, ())
    with pytest.raises(ConfigError, match=why):
        put_in_place(change, now=ENDED)
    assert used.config.read_bytes() == before
    assert {path.name for path in used.folder.iterdir()} == {"neuroflow.yaml", "dicom", "state"}


def test_a_file_that_was_changed_meanwhile_is_left_alone(used: Installation) -> None:
    config = NeuroflowConfig.find_and_load(used.config)
    change = plan_change(config, {("pipelines", "qsirecon", "memory_mb"): 4000})
    used.config.write_text(f"# by a colleague\n{used.config.read_text()}")
    with pytest.raises(ConfigError, match="just been changed"):
        put_in_place(change, now=ENDED)
    assert "4000" not in used.config.read_text()


def test_a_file_of_another_user_is_left_alone(used: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may write everything.
    monkeypatch.setattr("os.access", lambda _path, mode, **_options: mode != os.W_OK)
    assert "can't be written by you" in used.run("resources", "--apply", "--yes", code=2).output


def test_a_run_shows_what_its_attempts_used(used: Installation) -> None:
    assert "1.0 cores, 3,200 MiB (10%), 60.0 min (8%)" in used.run("runs", "show", "1").output
