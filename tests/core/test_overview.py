"""What is counted, on each database: compared with the runs that the scheduler's own view calls current."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.core.eligible import (
    count_eligible,
    refuse_unknown_labels,
    session_counts,
    sessions_without_run,
    subjects_without_run,
)
from neuroflow.core.overview import Overview
from neuroflow.core.reading import open_reader
from neuroflow.core.revisions import shipped_revisions
from neuroflow.core.schema import revisions
from neuroflow.core.service_reads import call_statistics, calls_left, held_pipelines, undelivered
from neuroflow.core.state import StateManager
from neuroflow.domain import OPEN_RUN_STATUSES, RunStatus, SessionRecord, SessionStatus
from neuroflow.domain.overview import RunFilter, Standing, standing_of
from neuroflow.errors import NotFoundError, StateError
from neuroflow.models import RunRow
from neuroflow.orchestrator.current import current_runs
from tests.core.conftest import FakeClock
from tests.support.states import add_session, end_run, open_run, proposal

NAMES = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")


def config_of(url: str, folder: Path) -> NeuroflowConfig:
    return NeuroflowConfig(paths={name: folder / name for name in NAMES}, database={"url": url})


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> NeuroflowConfig:
    """A configuration that names the test's database."""
    return config_of(database_url, tmp_path)


@contextmanager
def overview(config: NeuroflowConfig, **wanted: object) -> Iterator[Overview]:
    with open_reader(config) as reader:
        yield Overview(reader, RunFilter(**wanted))  # type: ignore[arg-type]


def counts(config: NeuroflowConfig, **wanted: object) -> dict[tuple[str, Standing], int]:
    with overview(config, **wanted) as found_runs:
        return {(one.pipeline, one.standing): one.count for one in found_runs.standings()}


def withdraw(state: StateManager, run_id: int) -> None:
    state.move_run(run_id, expected={RunStatus.PENDING}, to=RunStatus.CANCELLED, reason="withdrawn", superseded=True)


def live(state: StateManager, session: SessionRecord, dice: random.Random, key: str) -> None:
    """Let a scope live a little: open a run, and let one of many things happen to it."""
    run = state.open_run(proposal(session, key=key))
    if run is None:
        return
    match dice.randrange(8):
        case 0 | 4:
            withdraw(state, run.id)
        case 1 | 5:
            state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.CANCELLED, reason="by a person")
        case 2 | 3 | 6:
            end_run(state, run.id, success=dice.random() < 0.5)
    if dice.random() < 0.3:
        state.mark_session_for_rerun(session.id, "again", pipeline=run.pipeline)


def test_the_counts_are_those_of_the_current_runs(state: StateManager, config: NeuroflowConfig) -> None:
    dice = random.Random(5)  # noqa: S311
    sessions = [add_session(state, f"{number:02}{letter}") for number in range(10) for letter in "aB"]
    for step in range(50):
        live(state, dice.choice(sessions), dice, f"k{step}")
    runs = current_runs(state.snapshot())
    expected = Counter(standing_of(run.status, superseded=False, resolved=False) for run in runs)
    found_counts = {one: number for (_, one), number in counts(config).items()}
    assert {one: number for one, number in found_counts.items() if one is not Standing.AGAIN} == expected
    assert found_counts.keys() >= {Standing.DONE, Standing.FAILED, Standing.CANCELLED, Standing.AGAIN}
    with overview(config) as found_runs:
        listed = {line.run for line in found_runs.runs(limit=None) if line.standing is not Standing.AGAIN}
        assert listed == {run.id for run in runs}
        assert found_runs.count_runs() == sum(found_counts.values())
        pages = [found_runs.page(after="", size=7)]
        while len(pages[-1]) == 7:
            pages.append(found_runs.page(after=pages[-1][-1].scope, size=7))
        paged = [line for page in pages for line in page]
        assert sorted(line.run for line in paged) == sorted(line.run for line in found_runs.runs(limit=None))
        assert [line.scope for line in paged] == sorted(line.scope for line in paged)


def test_the_mark_of_the_newest_is_where_it_belongs(state: StateManager, database: Database) -> None:
    dice = random.Random(7)  # noqa: S311
    sessions = [add_session(state, f"{number:02}") for number in range(4)]
    for step in range(40):
        live(state, dice.choice(sessions), dice, f"k{step}")
    with database.read() as session:
        rows = session.execute(select(RunRow.id, RunRow.scope, RunRow.is_newest)).all()
    newest: dict[str, int] = {}
    for row in rows:
        newest[row.scope] = max(newest.get(row.scope, 0), row.id)
    assert {row.id for row in rows if row.is_newest} == set(newest.values())
    assert len(rows) > len(newest)


def test_a_withdrawn_run_hides_none_before_it(state: StateManager, config: NeuroflowConfig) -> None:
    session = add_session(state)
    end_run(state, open_run(state, session).id, success=True)
    withdraw(state, open_run(state, session, key="k2").id)
    assert counts(config) == {("bids_conversion", Standing.DONE): 1}
    with overview(config) as found_runs:
        assert [line.run for line in found_runs.runs(limit=5)] == [1]


def test_failures_alike_are_one_group_and_those_dealt_with_are_none(
    state: StateManager, config: NeuroflowConfig
) -> None:
    for number in range(3):
        end_run(state, open_run(state, add_session(state, f"{number:02}")).id, success=False)
    assert state.resolve_run(1, resolution="no brain in it", actor="me")
    with overview(config) as found_runs:
        (group,) = found_runs.failures(most=5)
        assert (group.pipeline, group.count, group.newest_run, group.scope) == (
            "bids_conversion", 2, 3, "sub-02/ses-a",
        )  # fmt: skip
    assert counts(config) == {
        ("bids_conversion", Standing.FAILED): 2,
        ("bids_conversion", Standing.CLOSED): 1,
    }


def test_filters_narrow_what_is_counted_and_listed(
    state: StateManager, config: NeuroflowConfig, clock: FakeClock
) -> None:
    for subject, label in (("01", "a"), ("01", "b"), ("02", "a")):
        clock.advance(hours=1)
        end_run(state, open_run(state, add_session(state, subject, label)).id, success=subject == "01")
    open_run(state, add_session(state, "02", "a"), "qsirecon")

    assert counts(config, subjects=("01",)) == {("bids_conversion", Standing.DONE): 2}
    assert counts(config, sessions=("b",)) == {("bids_conversion", Standing.DONE): 1}
    assert counts(config, pipelines=("qsirecon",)) == {("qsirecon", Standing.WAITING): 1}

    def listed(**wanted: object) -> list[int]:
        with overview(config, **wanted) as found_runs:
            runs = found_runs.runs(limit=None)
            assert len(runs) == found_runs.count_runs()
            return [line.run for line in runs]

    assert listed(standings=(Standing.FAILED,)) == [3]
    assert listed(standings=(Standing.DONE, Standing.WAITING)) == [4, 2, 1]
    assert listed(since=clock.now - timedelta(minutes=90)) == [4, 3, 2]
    assert listed(since=clock.now - timedelta(minutes=90), subjects=("01",), sessions=("b",)) == [2]


def test_what_ended_is_counted_by_the_hour(state: StateManager, config: NeuroflowConfig, clock: FakeClock) -> None:
    for number in range(4):
        end_run(state, open_run(state, add_session(state, f"{number:02}")).id, success=number != 3)
        clock.advance(minutes=45)
    with overview(config) as found_runs:
        hours = found_runs.ended_by_hour(since=clock.now - timedelta(days=1))
        assert [(f"{one.hour:%H:%M %Z}", str(one.status), one.count) for one in hours] == [
            ("12:00 UTC", "completed", 2),
            ("13:00 UTC", "completed", 1),
            ("14:00 UTC", "failed", 1),
        ]
        assert found_runs.ended_by_hour(since=clock.now) == []
        assert len(found_runs.durations("bids_conversion", most=2)) <= 2


def test_sessions_that_were_left_out_are_nothing_to_do(state: StateManager, config: NeuroflowConfig) -> None:
    kept, dropped = add_session(state, "01"), add_session(state, "02")
    add_session(state, "03")
    for session in (kept, dropped):
        end_run(state, open_run(state, session).id, success=True)
    state.set_session_excluded(dropped.id, True, reason="moved")
    with open_reader(config) as reader:
        eligible = count_eligible(reader, RunFilter())
        assert (eligible.sessions, eligible.subjects, eligible.runs_left_out) == (2, 2, {"bids_conversion": 1})
        assert session_counts(reader, RunFilter())[SessionStatus.EXCLUDED] == 1
        assert session_counts(reader, RunFilter(subjects=("01",)))[SessionStatus.EXCLUDED] == 0
        (without,) = sessions_without_run(reader, "bids_conversion", RunFilter(), after=0, size=5)
        assert (without.subject, without.session, without.status) == ("03", "a", SessionStatus.READY)
        assert sessions_without_run(reader, "bids_conversion", RunFilter(), after=without.id, size=5) == []
        subjects = subjects_without_run(reader, "qsiprep", RunFilter(), after=0, size=5)
        assert [one.subject for one in subjects] == ["01", "03"]


def test_labels_that_nobody_bears_are_refused(state: StateManager, config: NeuroflowConfig) -> None:
    add_session(state)
    with open_reader(config) as reader:
        refuse_unknown_labels(reader, RunFilter(subjects=("01",), sessions=("a",)))
        with pytest.raises(NotFoundError, match="no subject '9'"):
            refuse_unknown_labels(reader, RunFilter(subjects=("01", "9")))
        with pytest.raises(NotFoundError, match="no subject has a session 'z'"):
            refuse_unknown_labels(reader, RunFilter(sessions=("z",)))


def test_the_services_values_are_those_of_the_state_manager(
    state: StateManager, config: NeuroflowConfig, clock: FakeClock
) -> None:
    state.set_value("poll", {"looked_at": 3})
    state.hold_pipeline("qsiprep", reason="new image: é")
    state.hold_pipeline("qsirecon", reason="x")
    state.release_pipeline("qsirecon", reason="y")
    state.take_call("slurm", per_minute=30)
    state.record_call("squeue", seconds=0.25, failed=False)
    clock.advance(seconds=1)
    with open_reader(config) as reader:
        assert reader.values_of("poll", "none") == {"poll": ({"looked_at": 3}, state.get_value("poll")[1])}  # type: ignore[index]
        assert held_pipelines(reader) == {"qsiprep": "new image: é"}
        assert calls_left(reader, "slurm", per_minute=30, now=clock.now) == state.calls_left("slurm", per_minute=30)
        assert calls_left(reader, "other", per_minute=7, now=clock.now) == 7
        assert call_statistics(reader) == state.call_statistics()
        assert undelivered(reader, since=clock.now) == state.undelivered(since=clock.now) == 0


def test_a_reader_changes_nothing(state: StateManager, config: NeuroflowConfig) -> None:
    add_session(state)
    with pytest.raises(StateError), open_reader(config) as reader:
        reader.rows("DELETE FROM sessions")
    assert len(state.list_sessions()) == 1


def test_a_database_without_a_schema_is_refused(empty_url: str, tmp_path: Path) -> None:
    config = config_of(empty_url, tmp_path)
    if config.database_url().startswith("sqlite"):
        with pytest.raises(StateError, match="missing or closed"), open_reader(config):
            pass
        (tmp_path / "state.db").touch()
    with pytest.raises(StateError, match="has no neuroflow schema"), open_reader(config):
        pass


def test_the_revisions_by_file_name_are_those_of_alembic() -> None:
    assert shipped_revisions() == revisions()


def test_every_open_status_has_a_standing() -> None:
    assert {standing_of(one, superseded=False, resolved=False) for one in OPEN_RUN_STATUSES} == {
        Standing.WAITING, Standing.SUBMITTING, Standing.QUEUED, Standing.RUNNING, Standing.RETRYING,
    }  # fmt: skip
