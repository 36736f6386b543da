"""A restored database takes in what was submitted since: no run is executed twice, and none is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.base import ArrayRequest, JobRequest
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.job import RECORD_NAME, SCHEMA
from neuroflow.cluster.records import attempt_files, read_exit_record
from neuroflow.core.backups import take_backup
from neuroflow.domain import (
    AttemptRecord,
    AttemptStatus,
    ExitRecord,
    RunRecord,
    RunStatus,
    Sighting,
)
from neuroflow.orchestrator.launch import Launcher
from neuroflow.orchestrator.launch_array import ArrayLauncher
from neuroflow.orchestrator.reconcile import Poller
from neuroflow.orchestrator.restore import Restored, hold_strangers, restore
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import advance
from tests.chain.site import Site
from tests.orchestrator.test_run_again import Sent
from tests.support.databases import BACKENDS
from tests.support.states import add_session


@dataclass
class FakeCluster:
    """Takes every job, and knows of it what the test says."""

    submitted: list[str] = field(default_factory=list)
    names: frozenset[str] = frozenset()
    folders: LocalFolders = field(default_factory=LocalFolders)

    def submit(self, job: JobRequest) -> str:
        self.folders.make({job.folder: attempt_files(job)})
        self.submitted.append(job.scope)
        return f"70{len(self.submitted)}"

    def submit_array(self, array: ArrayRequest) -> list[str]:
        return [self.submit(job) for job in array.jobs]

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        return {
            item.token: Sighting(
                job_id=item.job_id or claim.claimed_job_id(Path(item.folder)),
                queue_answered=True,
                accounting_answered=False,
                exit_record=read_exit_record(item.folder, token=item.token),
            )
            for item in attempts
        }

    def revoke(self, attempt: AttemptRecord) -> bool:
        return claim.revoke(Path(attempt.folder))

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        for attempt in attempts:
            claim.fence(Path(attempt.folder))

    def job_names(self) -> frozenset[str]:
        return self.names


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in BACKENDS]
)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """A site with two sessions that are ready, on a cluster that takes everything."""
    changes = {"cluster": {"accounting_grace_seconds": 0}}
    if request.param == "postgres":
        changes["database"] = {"url": request.getfixturevalue("fresh_postgres")}
    site = Site(tmp_path / "site", changes)
    made = site.services()
    services = replace(made, clusters=dict.fromkeys(made.clusters, FakeCluster()))
    add_session(services.state, "01", "a")
    add_session(services.state, "02", "b")
    yield services
    services.database.close()


def cluster_of(services: Services) -> FakeCluster:
    cluster = services.clusters["worker"]
    assert isinstance(cluster, FakeCluster)
    return cluster


def open_runs(services: Services) -> list[RunRecord]:
    """Open and dispatch what is due, without launching it."""
    sent = Sent()
    advance(services, sent)
    return sent.runs


def launch(services: Services, run: RunRecord) -> AttemptRecord:
    assert Launcher(services).launch(run.id).launched
    attempt = services.state.latest_attempt(run.id)
    assert attempt is not None
    return attempt


def leave_record(attempt: AttemptRecord, *, exit_code: int = 0) -> None:
    """Do what a job does at its start and its end."""
    folder = Path(attempt.folder)
    claim.take(folder, attempt.job_id or "1")
    record = ExitRecord(
        token=attempt.token,
        job_id=attempt.job_id or "1",
        exit_code=exit_code,
        signal=None,
        host="n1",
        started_at=1_772_000_000.0,
        ended_at=1_772_000_600.0,
        stderr_tail="boom" if exit_code else "",
        max_rss_mb=10.0,
        published=exit_code == 0,
    )
    (folder / RECORD_NAME).write_text(json.dumps({"schema": SCHEMA, **asdict(record)}))


def poll(services: Services) -> None:
    assert Poller(services).poll().errors == ()


def back_up(services: Services, tmp_path: Path) -> Path:
    return take_backup(services.database, tmp_path / "then.nfbackup").path


def put_back(services: Services, backup: Path) -> Restored:
    return restore(services.config, services.database, backup, now=services.clock(), actor="ada")


def go_on(services: Services, restored: Restored) -> list[RunRecord]:
    """Look at the jobs, resume what is held, and return what would be launched."""
    poll(services)
    for name in restored.held:
        assert services.release(name, reason="looked at")
    return open_runs(services)


def test_a_run_that_completed_after_the_backup_is_not_run_again(services: Services, tmp_path: Path) -> None:
    first, second = open_runs(services)
    backup = back_up(services, tmp_path)
    attempt = launch(services, first)
    leave_record(attempt)
    poll(services)
    assert services.state.get_run(first.id).status is RunStatus.COMPLETED

    restored = put_back(services, backup)

    assert [entry.token for entry in restored.adoption.adopted] == [attempt.token]
    assert restored.held == ("bids_conversion",)
    assert "of its attempts made since, 1 was taken in: see" in services.holds()["bids_conversion"]
    assert open_runs(services) == []  # held: nothing starts before a person has looked
    started = go_on(services, restored)
    assert services.state.get_run(first.id).status is RunStatus.COMPLETED
    assert {(run.pipeline, run.scope) for run in started} == {
        ("bids_conversion", second.scope),
        ("qsiprep", "sub-01"),
    }


def test_a_job_that_still_runs_is_adopted_and_no_second_one_started(services: Services, tmp_path: Path) -> None:
    (first, _) = open_runs(services)
    backup = back_up(services, tmp_path)
    attempt = launch(services, first)
    claim.take(Path(attempt.folder), attempt.job_id or "")

    restored = put_back(services, backup)

    (found,) = services.state.open_attempts()
    assert (found.token, found.job_id, found.run_id) == (attempt.token, attempt.job_id, first.id)
    assert found.resources == attempt.resources
    assert first.id not in {run.id for run in go_on(services, restored)}
    leave_record(attempt)
    poll(services)
    assert services.state.get_run(first.id).status is RunStatus.COMPLETED


def test_a_run_opened_after_the_backup_comes_back_with_its_number_and_inputs(
    services: Services, tmp_path: Path
) -> None:
    first, _ = open_runs(services)
    leave_record(launch(services, first))
    backup = back_up(services, tmp_path)
    poll(services)
    (prep,) = (run for run in open_runs(services) if run.pipeline == "qsiprep")
    attempt = launch(services, prep)
    leave_record(attempt)
    poll(services)

    restored = put_back(services, backup)

    assert [entry.run_id for entry in restored.adoption.adopted] == [prep.id]
    started = go_on(services, restored)
    again = services.state.get_run(prep.id)
    assert (again.status, again.inputs_key, again.scope) == (RunStatus.COMPLETED, prep.inputs_key, prep.scope)
    assert {run.pipeline for run in started if run.subject == "01"} == {"qsirecon"}
    assert all(run.id > prep.id + 100 for run in started if run.pipeline == "qsirecon")  # no number comes twice


def test_a_session_found_after_the_backup_comes_back_too(services: Services, tmp_path: Path) -> None:
    backup = back_up(services, tmp_path)
    session = add_session(services.state, "03", "c")
    open_runs(services)
    (run,) = services.state.list_runs(subject=session.subject)
    attempt = launch(services, run)
    leave_record(attempt)

    put_back(services, backup)

    poll(services)
    add_session(services.state, "03", "c")
    again = services.state.get_run(run.id)
    assert (again.subject, again.session, again.status) == ("03", "c", RunStatus.COMPLETED)
    services.release("bids_conversion", reason="looked at")
    open_runs(services)
    assert [item.id for item in services.state.list_runs(pipeline="bids_conversion", subject="03")] == [run.id]


def test_only_the_newest_of_several_lost_attempts_is_open(services: Services, tmp_path: Path) -> None:
    first, _ = open_runs(services)
    known = launch(services, first)
    backup = back_up(services, tmp_path)
    leave_record(known, exit_code=1)
    attempts = [known]
    for _ in range(2):
        poll(services)
        services.state.move_run(first.id, expected={RunStatus.RETRY_WAIT}, to=RunStatus.PENDING, reason="at once")
        attempts.append(launch(services, first))
        if len(attempts) == 2:
            leave_record(attempts[-1], exit_code=1)

    put_back(services, backup)

    found = services.state.attempts_of(first.id)
    assert [item.token for item in found] == [item.token for item in attempts]
    assert [item.number for item in found] == [1, 2, 3]
    assert [item.status for item in found] == [
        AttemptStatus.FAILED,
        AttemptStatus.FAILED,
        AttemptStatus.SUBMITTING,  # no job has claimed it yet: the poll looks it up by its name
    ]


def test_an_older_run_of_the_scope_is_closed_by_what_its_job_left(services: Services, tmp_path: Path) -> None:
    first, _ = open_runs(services)
    old = launch(services, first)
    backup = back_up(services, tmp_path)
    leave_record(old)
    poll(services)
    assert first.session_id is not None
    services.state.mark_session_for_rerun(first.session_id, "new heuristic", pipeline="bids_conversion")
    again = next(run for run in open_runs(services) if run.scope == first.scope)
    newer = launch(services, again)
    leave_record(newer)

    restored = put_back(services, backup)

    assert restored.adoption.closed_runs == [first.id]
    assert services.state.get_run(first.id).status is RunStatus.COMPLETED
    poll(services)
    assert services.state.get_run(again.id).status is RunStatus.COMPLETED
    assert services.state.dead_letters() == []


def test_elements_of_an_array_keep_its_name(services: Services, tmp_path: Path) -> None:
    runs = open_runs(services)
    backup = back_up(services, tmp_path)
    ArrayLauncher(services).launch([run.id for run in runs])
    before = services.state.open_attempts()
    assert before[0].array_token

    put_back(services, backup)

    found = services.state.open_attempts()
    assert [(item.array_token, item.array_index) for item in found] == [
        (item.array_token, item.array_index) for item in before
    ]


def test_a_folder_that_does_not_say_its_inputs_is_fenced(services: Services, tmp_path: Path) -> None:
    backup = back_up(services, tmp_path)
    first, _ = open_runs(services)
    attempt = launch(services, first)
    (Path(attempt.folder) / "attempt.json").unlink()  # as an earlier release left it

    restored = put_back(services, backup)

    (refused,) = restored.adoption.refused
    assert refused.entry.token == attempt.token
    assert "does not say over which inputs" in refused.reason
    assert claim.is_fenced(Path(attempt.folder))
    assert claim.take(Path(attempt.folder), "4711") is claim.Hold.DENIED  # a job that starts now stops at once
    assert restored.held == ("bids_conversion",)


def test_a_folder_of_an_earlier_release_is_taken_in_when_its_run_is_known(services: Services, tmp_path: Path) -> None:
    first, _ = open_runs(services)
    backup = back_up(services, tmp_path)
    attempt = launch(services, first)
    (Path(attempt.folder) / "attempt.json").write_text('{"run_id": "damaged"')

    put_back(services, backup)

    assert [item.token for item in services.state.open_attempts()] == [attempt.token]


def test_nothing_is_held_when_nothing_has_happened_since(services: Services, tmp_path: Path) -> None:
    runs = open_runs(services)
    launch(services, runs[0])
    before = services.state.open_attempts()

    restored = put_back(services, back_up(services, tmp_path))

    assert restored.held == ()
    assert services.state.open_attempts() == before


def test_a_job_that_nobody_knows_holds_its_pipeline(services: Services) -> None:
    first, _ = open_runs(services)
    known = launch(services, first)
    cluster = cluster_of(services)
    cluster.names = frozenset({known.token, "nf-qsiprep-7-0123456789ab", "nf-array-qsirecon-0123456789ab", "bash"})

    strangers, unanswered = hold_strangers(services.state, cluster, services.registry.names())

    assert strangers == ("nf-array-qsirecon-0123456789ab", "nf-qsiprep-7-0123456789ab")
    assert unanswered == ""
    assert set(services.holds()) == {"qsiprep", "qsirecon"}
