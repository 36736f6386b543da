"""Look before the first submission of an installation, and refuse to start while something is wrong."""

from __future__ import annotations

from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.doctor.check import Context, Finding, Severity
from neuroflow.doctor.registry import CHECKS
from neuroflow.doctor.runner import run_checks
from neuroflow.errors import NotReadyError, StateError

PASSED_KEY = "doctor_passed"


def refuse_unless_ready(config: NeuroflowConfig) -> None:
    """Run the quick checks, unless they passed with this configuration, or a run was submitted before.

    Nothing is in flight before the first submission, so refusing to start loses nothing. Afterwards it would keep the
    jobs that run from being looked after: then nothing is asked.

    Raises:
        NotReadyError: naming every error.
    """
    if config.cluster.kind != "slurm" or not config.doctor.before_first_submission:
        return
    database = Database.from_config(config)
    try:
        state = StateManager(database)
        if not _is_first(database, state, config.digest):
            return
        errors = quick_errors(config)
        if errors:
            raise NotReadyError(_message(errors))
        state.set_value(PASSED_KEY, {"digest": config.digest})
    finally:
        database.close()


def quick_errors(config: NeuroflowConfig) -> list[Finding]:
    """Return the errors of the quick checks, which ask neither SLURM nor an image; over SSH they connect."""
    context = Context(load=lambda: config)
    found = run_checks(CHECKS, context, chosen=lambda check: check.quick)
    return [one for one in found if one.severity is Severity.ERROR]


def _is_first(database: Database, state: StateManager, digest: str) -> bool:
    """Tell whether nothing was ever submitted, nor found ready with this configuration.

    A database that does not answer proves nothing: there may be jobs, which a restart has to find again.
    """
    try:
        if database.current() is None:
            return True
        passed = state.get_value(PASSED_KEY)
        return state.newest_attempt_id() == 0 and (passed is None or passed[0].get("digest") != digest)
    except StateError:
        return False


def _message(errors: list[Finding]) -> str:
    lines = [f"  {one.code}: {one.what}\n    mend: {one.mend}" for one in errors]
    number = f"{len(errors)} things have" if len(errors) > 1 else "one thing has"
    return "\n".join((f"nothing was submitted yet, and {number} to be mended first:", *lines))
