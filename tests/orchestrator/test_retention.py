"""Only what the database proves to belong to an ended run is deleted, and only when it is old enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.removal import TRASH_PREFIX
from neuroflow.config.upkeep import Retention
from neuroflow.core.state import StateManager
from neuroflow.domain import (
    AttemptRecord,
    FailureClass,
    RetryDecision,
    RunRecord,
    RunStatus,
    Verdict,
    VerdictKind,
)
from neuroflow.errors import ConfigError, HostUnreachable
from neuroflow.orchestrator.retention import RETENTION_KEY, Ages, Keeper, Leftover, clean_up_if_due
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.support.states import RESOURCES, SUCCESS, add_session, open_run

EVERYTHING = {
    "work_days": {"completed": 7, "failed": 30, "out_of_memory": 90},
    "attempts_days": 60,
    "quarantine_days": 10,
    "replaced_days": 20,
}


class Clock:
    """The real time, moved on by the test."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.days = 0.0

    def __call__(self) -> datetime:
        now: datetime = self._real() + timedelta(days=self.days)
        return now


def services_of(root: Path, retention: dict[str, Any]) -> Services:
    made = Site(root, {"retention": retention}).services()
    clock = Clock(made.clock)
    return replace(made, clock=clock, state=StateManager(made.database, clock=clock))


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A site that keeps nothing for ever."""
    services = services_of(tmp_path / "site", EVERYTHING)
    yield services
    services.database.close()


def pass_days(services: Services, days: float) -> None:
    assert isinstance(services.clock, Clock)
    services.clock.days += days


def make(services: Services, subject: str, pipeline: str = "qsirecon", *, number: int = 1) -> AttemptRecord:
    """Open a run with an attempt, with everything that the two leave on disk."""
    run = open_run(services.state, add_session(services.state, subject, "a"), pipeline, key=f"k{number}")
    return attempt_of(services, run)


def attempt_of(services: Services, run: RunRecord, *, folder: Path | None = None) -> AttemptRecord:
    token = f"nf-{run.pipeline}-{run.id}-{run.id:012x}"
    recorded, folder = folder, services.config.attempts_dir / token
    folder.mkdir(parents=True)
    (folder / "stdout.log").write_text("log")
    attempt = services.state.claim_run(
        run.id, token=token, where="slurm", folder=str(recorded or folder), resources=RESOURCES, image=None, limit=100
    )
    assert attempt is not None
    services.state.record_submitted(attempt.id, "4711")
    for name in ("work", f"out-{token}", "quarantine"):
        (run_folder(services, run) / name / "deep").mkdir(parents=True)
        (run_folder(services, run) / name / "deep" / "file").write_bytes(b"x" * 10_000)
    return attempt


def run_folder(services: Services, run: RunRecord) -> Path:
    return services.config.paths.work_root / run.pipeline / run.scope.replace("/", "_") / f"run-{run.id}"


def end(services: Services, attempt: AttemptRecord, failure: FailureClass | None = None) -> RunRecord:
    """End an attempt and its run."""
    if failure is None:
        assert services.state.record_verdict(attempt.id, SUCCESS, None, None)
    else:
        status = RunStatus.CANCELLED if failure is FailureClass.CANCELLED else RunStatus.FAILED
        verdict = Verdict(VerdictKind.FAILED, "no", failure=failure)
        decision = RetryDecision(status, "given up", counted=True)
        assert services.state.record_verdict(attempt.id, verdict, decision, None)
    return services.state.get_run(attempt.run_id)


def found(services: Services, **options: Any) -> set[tuple[str, str]]:
    """Return what may go: kind and name."""
    keeper = Keeper(services, Ages(services.config.retention, options.get("older_than")))
    return {(item.kind, name_of(item)) for item in keeper.find()}


def name_of(item: Leftover) -> str:
    return item.parts[-1].split("-")[0] if item.kind == "work" else item.parts[-1]


def delete(services: Services) -> list[Path]:
    keeper = Keeper(services, Ages(services.config.retention))
    cleanup = keeper.delete(keeper.find(), actor="ada")
    assert cleanup.errors == ()
    return [item.path for item in cleanup.deleted]


def test_nothing_goes_unless_it_is_asked_for(tmp_path: Path) -> None:
    services = services_of(tmp_path / "site", {})
    end(services, make(services, "01"))
    pass_days(services, 10_000)
    assert not services.config.retention.deletes
    assert found(services) == set()
    assert clean_up_if_due(services) is None
    services.database.close()


def test_each_kind_goes_at_its_own_age(services: Services) -> None:
    attempt = make(services, "01")
    end(services, attempt)
    pass_days(services, 6.9)
    assert found(services) == set()
    pass_days(services, 0.2)
    assert found(services) == {("work", "work"), ("work", "out")}
    pass_days(services, 3)
    assert found(services) == {("work", "work"), ("work", "out"), ("quarantine", "quarantine")}
    pass_days(services, 50)
    assert ("attempts", attempt.token) in found(services)


@pytest.mark.parametrize(
    ("failure", "days"),
    [(FailureClass.APPLICATION, 30), (FailureClass.OUT_OF_MEMORY, 90), (FailureClass.CANCELLED, 30)],
)
def test_the_failure_class_says_how_long_a_work_directory_is_kept(
    failure: FailureClass, days: float, services: Services
) -> None:
    end(services, make(services, "01"), failure)
    pass_days(services, days - 0.1)
    assert ("work", "work") not in found(services)
    pass_days(services, 0.2)
    assert ("work", "work") in found(services)


def test_nothing_of_an_open_run_goes(services: Services) -> None:
    make(services, "01")
    pass_days(services, 10_000)
    assert found(services, older_than=0) == set()


def test_nothing_goes_while_a_cancelled_runs_job_may_be_at_work(services: Services) -> None:
    attempt = make(services, "01")
    services.state.cancel_run(attempt.run_id, reason="no", actor="ada")  # its attempt stays open until the job is dead
    pass_days(services, 10_000)
    assert found(services, older_than=0) == set()


def test_what_the_database_does_not_know_stays(services: Services) -> None:
    attempt = make(services, "01")
    run = end(services, attempt)
    work = services.config.paths.work_root
    for place in (
        work / "qsirecon" / "sub-99_ses-a" / f"run-{run.id}" / "work",  # another scope under the same number
        work / "qsiprep" / "sub-01_ses-a" / f"run-{run.id}" / "work",  # another pipeline
        work / "qsirecon" / "sub-01_ses-a" / "run-999" / "work",  # no such run
        work / "qsirecon" / "sub-01_ses-a" / "my-notes",
        work / "somebody" / "else" / f"run-{run.id}" / "work",
        run_folder(services, run) / "notes",
        services.config.attempts_dir / "nf-qsirecon-999-000000000000",
        services.config.paths.bids_root / ".neuroflow" / "replaced" / "nf-unknown",
    ):
        place.mkdir(parents=True)
    pass_days(services, 10_000)
    deleted = delete(services)
    assert sorted(path.name.split("-")[0] for path in deleted) == ["nf", "out", "quarantine", "work"]
    assert len(list(work.rglob("run-*"))) == 5
    assert (run_folder(services, run) / "notes").is_dir()


def test_empty_folders_go_with_the_last_thing_in_them(services: Services) -> None:
    run = end(services, make(services, "01"))
    pass_days(services, 8)
    delete(services)
    assert [path.name for path in run_folder(services, run).iterdir()] == ["quarantine"]
    pass_days(services, 3)
    delete(services)
    assert not run_folder(services, run).parent.exists()
    assert services.config.paths.work_root.is_dir()


def test_a_link_in_the_place_of_a_run_leads_to_no_deletion(services: Services, tmp_path: Path) -> None:
    run = end(services, make(services, "01"))
    elsewhere = tmp_path / "elsewhere"
    run_folder(services, run).rename(elsewhere)
    run_folder(services, run).symlink_to(elsewhere)
    pass_days(services, 20)
    assert delete(services) == []
    assert (elsewhere / "work" / "deep" / "file").exists()


def test_an_interrupted_publication_is_kept_whole(services: Services) -> None:
    attempt = make(services, "01")
    (Path(attempt.folder) / "publish.json").write_text(json.dumps({}))
    end(services, attempt, FailureClass.NODE)
    services.state.supersede_run(attempt.run_id, reason="again", actor="ada")
    pass_days(services, 10_000)
    assert found(services) == set()


def failed_elsewhere(services: Services, folder: Path) -> AttemptRecord:
    """End a run as failed whose attempt's folder lies on a cluster, with its mere copy here."""
    run = open_run(services.state, add_session(services.state, "01", "a"), "qsirecon")
    attempt = attempt_of(services, run, folder=folder)
    end(services, attempt, FailureClass.NODE)
    pass_days(services, 10_000)
    return attempt


def test_an_interrupted_publication_is_seen_where_the_attempts_folder_lies(services: Services, tmp_path: Path) -> None:
    attempt = failed_elsewhere(services, tmp_path / "cluster" / "attempts" / "nf-1")
    assert {kind for kind, _ in found(services)} >= {"work", "quarantine"}
    Path(attempt.folder).mkdir(parents=True)
    (Path(attempt.folder) / "publish.json").write_text(json.dumps({}))
    assert {kind for kind, _ in found(services)} & {"work", "quarantine"} == set()


def test_a_host_that_can_not_be_asked_costs_no_output(services: Services, tmp_path: Path) -> None:
    class Silent(LocalFolders):
        def publishing(self, folders: Sequence[str]) -> frozenset[str]:
            raise HostUnreachable("the host does not answer")

    failed_elsewhere(services, tmp_path / "cluster" / "attempts" / "nf-1")
    silent: Any = SimpleNamespace(folders=Silent())
    away = replace(services, clusters={**services.clusters, "slurm": silent})
    assert {kind for kind, _ in found(away)} & {"work", "quarantine"} == set()


def test_the_logs_of_a_run_that_waits_for_a_person_are_kept(services: Services) -> None:
    attempt = make(services, "01")
    end(services, attempt, FailureClass.APPLICATION)
    pass_days(services, 61)
    assert ("attempts", attempt.token) not in found(services)
    services.state.resolve_run(attempt.run_id, resolution="broken scan", actor="ada")
    assert ("attempts", attempt.token) in found(services)


def test_an_arrays_folder_goes_after_those_of_its_elements(services: Services) -> None:
    from neuroflow.core.state import NewAttempt

    runs = [open_run(services.state, add_session(services.state, f"0{n}", "a"), "qsirecon") for n in (1, 2)]
    folders = [services.config.attempts_dir / f"nf-qsirecon-{run.id}-{run.id:012x}" for run in runs]
    news = [
        NewAttempt(run.id, folder.name, "slurm", str(folder), RESOURCES, None, array_token="nf-array-q-1")
        for run, folder in zip(runs, folders, strict=True)
    ]
    attempts = services.state.claim_runs(news, limit=10)
    for folder in (*folders, services.config.arrays_dir / "nf-array-q-1", services.config.arrays_dir / "nf-array-x-1"):
        folder.mkdir(parents=True, exist_ok=True)
    end(services, attempts[0])
    pass_days(services, 61)
    assert found(services) == {("attempts", folders[0].name)}
    end(services, attempts[1])
    pass_days(services, 61)
    assert found(services) == {*(("attempts", folder.name) for folder in folders), ("attempts", "nf-array-q-1")}
    delete(services)
    assert [path.name for path in services.config.arrays_dir.iterdir()] == ["nf-array-x-1"]


def test_replaced_results_go_once_their_successor_has_completed(services: Services) -> None:
    attempt = make(services, "01")
    dataset = services.config.paths.derivatives_root / "qsirecon"
    old = dataset / ".neuroflow" / "replaced" / attempt.token / "sub-01"
    present = dataset / "sub-01"
    for folder in (old, present):
        folder.mkdir(parents=True)
    pass_days(services, 21)
    assert found(services) == set()
    end(services, attempt)
    pass_days(services, 21)
    assert ("replaced", attempt.token) in found(services)
    delete(services)
    assert not old.exists()
    assert present.is_dir()


def test_a_job_that_may_be_left_is_fenced_before_its_work_directory_goes(services: Services) -> None:
    attempt = make(services, "01")
    (Path(attempt.folder) / "job.json").write_text("{}", encoding="utf-8")
    end(services, attempt, FailureClass.NODE)
    pass_days(services, 31)
    delete(services)
    assert claim.is_fenced(Path(attempt.folder))


def test_each_deletion_is_in_the_audit_log(services: Services) -> None:
    attempt = make(services, "01")
    end(services, attempt)
    pass_days(services, 8)
    paths = {str(path) for path in delete(services)}
    rows = [
        row for row in services.state.list_audit(entity="run", entity_id=attempt.run_id) if "retention" in row.event
    ]
    assert {row.details["path"] for row in rows} == paths
    assert all(row.actor == "ada" and row.details["bytes"] for row in rows)


def test_a_clean_up_that_was_killed_is_finished_by_the_next(services: Services) -> None:
    run = end(services, make(services, "01"))
    (run_folder(services, run) / "work").rename(run_folder(services, run) / f"{TRASH_PREFIX}abc")
    (services.config.attempts_dir / f"{TRASH_PREFIX}def").mkdir()
    delete(services)
    assert sorted(path.name.split("-")[0] for path in run_folder(services, run).iterdir()) == ["out", "quarantine"]
    assert not (services.config.attempts_dir / f"{TRASH_PREFIX}def").exists()


def test_it_is_done_once_a_day(services: Services) -> None:
    end(services, make(services, "01"))
    pass_days(services, 8)
    cleanup = clean_up_if_due(services)
    assert cleanup is not None
    assert cleanup.freed >= 20_000
    assert services.state.get_value(RETENTION_KEY) is not None
    assert clean_up_if_due(services) is None
    pass_days(services, 1)
    assert clean_up_if_due(services) is not None


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ({"work_days": {"complete": 7}}, r"work_days\.complete: is 'complete', .*did you mean 'completed'"),
        ({"work_days": {"completed": -1}}, "work_days.completed: must be a number of days from 0 to 36500, or `never`"),
        ({"attempts_days": "soon"}, "attempts_days: must be a number of days .* not 'soon'"),
    ],
)
def test_a_wrong_setting_is_named(retention: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Site(tmp_path / "site", {"retention": retention}).config()


def test_every_failure_class_can_have_an_age_of_its_own() -> None:
    retention = Retention(work_days={failure.value: number for number, failure in enumerate(FailureClass)})
    ages = [retention.work_days_of(failure) for failure in FailureClass]
    assert ages == list(range(len(FailureClass)))
