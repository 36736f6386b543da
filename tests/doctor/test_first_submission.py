"""Before the first submission errors keep neuroflow from starting; afterwards nothing does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.doctor import first_submission
from neuroflow.doctor.first_submission import PASSED_KEY, refuse_unless_ready
from neuroflow.errors import NotReadyError
from tests.doctor.conftest import Patient, free_port
from tests.doctor.test_command import doctor
from tests.support.states import add_session, open_run, submit


def flaw(patient: Patient) -> None:
    (patient.folder / "heuristic.py").write_text("x = 1\n")


def mend(patient: Patient) -> None:
    (patient.folder / "heuristic.py").write_text("def infotodict(seqinfo): ...\n")


@pytest.fixture
def database(patient: Patient) -> Iterator[Database]:
    """A SLURM site with one error: a heuristic that is none."""
    tools = {"program": ["/bin/true"]}
    names = ("bids_conversion", "qsiprep", "qsirecon", "qsiparc")
    patient.write(
        cluster={"kind": "slurm"},
        pipelines={name: {**tools, **({"version": "26.0.0"} if name.startswith("qsi") else {})} for name in names},
    )
    flaw(patient)
    patient.content["pipelines"]["bids_conversion"]["heuristic"] = str(patient.folder / "heuristic.py")
    patient.write()
    made = patient.make_database()
    yield made
    made.close()


def test_an_error_keeps_it_from_starting_and_is_named_with_what_mends_it(patient: Patient, database: Database) -> None:
    with pytest.raises(NotReadyError) as error:
        refuse_unless_ready(patient.config())
    assert error.value.exit_code == 8
    assert "nothing was submitted yet, and one thing has to be mended first" in str(error.value)
    assert f"mend: edit {patient.folder}/heuristic.py" in str(error.value)
    assert "`neuroflow doctor`" in error.value.hint


def test_once_it_is_mended_it_starts_and_is_not_asked_again(
    patient: Patient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(patient)
    refuse_unless_ready(patient.config())
    passed = StateManager(database).get_value(PASSED_KEY)
    assert passed is not None
    assert passed[0]["digest"] == patient.config().digest
    monkeypatch.setattr(first_submission, "quick_errors", lambda config: pytest.fail("asked again"))
    refuse_unless_ready(patient.config())


def test_another_configuration_is_asked_anew(patient: Patient, database: Database) -> None:
    mend(patient)
    refuse_unless_ready(patient.config())
    flaw(patient)
    refuse_unless_ready(patient.config())
    patient.write(celery={"max_retries": 9})
    with pytest.raises(NotReadyError):
        refuse_unless_ready(patient.config())


def test_an_installation_that_has_submitted_starts_whatever_is_wrong(patient: Patient, database: Database) -> None:
    state = StateManager(database)
    submit(state, open_run(state, add_session(state)).id)
    refuse_unless_ready(patient.config())


def test_a_database_without_tables_is_one_of_the_errors(patient: Patient, database: Database) -> None:
    assert database.file is not None
    database.file.unlink()
    with pytest.raises(NotReadyError, match="neuroflow db upgrade"):
        refuse_unless_ready(patient.config())


def test_a_database_that_does_not_answer_proves_nothing(patient: Patient, database: Database) -> None:
    url = f"postgresql+psycopg://me@127.0.0.1:{free_port()}/x"
    patient.write(database={"url": url, "busy_timeout_seconds": 1})
    refuse_unless_ready(patient.config())


def test_a_workstation_is_not_asked(patient: Patient, database: Database) -> None:
    patient.write(cluster={"kind": "local"})
    refuse_unless_ready(patient.config())


def test_the_configuration_can_switch_it_off(patient: Patient, database: Database) -> None:
    patient.write(doctor={"before_first_submission": False})
    refuse_unless_ready(patient.config())


@pytest.mark.parametrize("command", [("up",), ("run", "worker"), ("workflow", "run"), ("tick",)], ids=" ".join)
def test_what_starts_work_asks_it(patient: Patient, database: Database, command: tuple[str, ...]) -> None:
    error = doctor(patient, *command[1:], command=command[0], code=8).stderr
    assert "heuristic-broken" in error


@pytest.mark.parametrize("command", [("workflow", "run", "--dry-run"), ("tick", "--no-doctor"), ("status",)])
def test_what_starts_nothing_or_is_told_so_does_not(
    patient: Patient, database: Database, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_submission, "quick_errors", lambda config: pytest.fail("asked"))
    doctor(patient, *command[1:], command=command[0])
