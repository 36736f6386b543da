"""A cohort on the real SLURM of which every job ends in another way, and what is done to the jobs so that they do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neuroflow.domain import ENDED_RUN_STATUSES, AttemptRecord, RunRecord, RunStatus
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import launch_all
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.slurm import Slurm, freest_node

SETTLE_SECONDS = 420.0
MEMORY_MB = 200
MAX_ATTEMPTS = 2
DELAY_MINUTES = 0.1
# Two jobs of this size and their preemptor don't fit into a node (64000 MB), nor does one of them beside it.
SPOT_MB = 20000
PREEMPTOR_MB = 50000
# A killed child doesn't end its script: it goes on, leaves what looks like results, and ends with 0, as many tools do.
# A run's work directory is kept between its attempts, and between the lives of a job: it tells which one this is.
BEHAVIOUR = """
is_first() { [ ! -e been-here ] && touch been-here; }
case $session in
    outofmemory)
        if is_first; then seconds=60; else seconds=0; fi
        python3 -c 'import sys, time; x = b"x" * (210 << 20); time.sleep(int(sys.argv[1]))' $seconds ;;
    application) echo "the model did not converge" >&2; exit 1 ;;
    nooutput) exit 0 ;;
    # One process: of two, SLURM's signal may reach the shell after its child, and then the exit code is 0.
    cancelledrunning) exec sleep 600 ;;
    badinput) echo "One or more participant labels were not found in the BIDS directory: 01" >&2; exit 1 ;;
    *) if is_first; then sleep 600; fi ;;
esac
"""
Act = Iterator[None]  # it waits by yielding, and is gone on with after each poll


@dataclass(frozen=True)
class Ending:
    """What became of a run."""

    services: Services
    run: RunRecord
    attempts: tuple[AttemptRecord, ...]
    moves: tuple[tuple[str | None, str], ...]  # by the audit log: to where, and why
    executions: int

    def reasons(self, status: RunStatus) -> list[str]:
        """Return the audit log's words for the moves to a status."""
        return [reason for after, reason in self.moves if after == status]


@dataclass(frozen=True)
class Member:
    """A run of the cohort."""

    site: FastSite
    services: Services
    run_id: int

    @property
    def run(self) -> RunRecord:
        """The run as the database has it now."""
        return self.services.state.get_run(self.run_id)

    @property
    def attempt(self) -> AttemptRecord:
        """Its last attempt."""
        attempt = self.services.state.latest_attempt(self.run_id)
        assert attempt is not None, self.run.reason
        return attempt

    @property
    def job_id(self) -> str:
        """The job of its last attempt."""
        assert self.attempt.job_id is not None
        return self.attempt.job_id

    def is_executed(self) -> bool:
        """Tell whether its program runs, and the database knows."""
        return self.run.status is RunStatus.RUNNING and self.executions() > 0

    def is_waiting(self) -> bool:
        """Tell whether the last poll saw its job in the queue."""
        return "PENDING" in self.attempt.job_reason

    def executions(self) -> int:
        """Count how often its program was started."""
        return self.site.executions()[f"{PIPELINE}/{self.run.scope}"]

    def ending(self) -> Ending:
        """Gather what became of it."""
        state = self.services.state
        audit = state.list_audit(entity="run", entity_id=self.run_id)
        moves = tuple((entry.after, entry.reason) for entry in audit)
        return Ending(self.services, self.run, tuple(state.attempts_of(self.run_id)), moves, self.executions())


class Cohort:
    """The runs by their sessions' labels, at sites that differ in where their jobs go."""

    def __init__(self, root: Path, slurm: Slurm) -> None:
        self.members: dict[str, Member] = {}
        self._root = root
        self._slurm = slurm
        self._preemptor = ""
        self._failing = slurm.node_to_fail
        self._spot_node = freest_node(slurm.spot_partition, but=self._failing)

    def start(self) -> None:
        """Open all runs, and submit their jobs."""
        elsewhere, there = f"--exclude={self._failing}", f"--nodelist={self._spot_node}"
        spot = {"partition": self._slurm.spot_partition, "memory_mb": SPOT_MB}
        self._open("plain", "outofmemory", "timeout", "requeued", "cancelledrunning", options=[elsewhere])
        self._open("quick", "application", "nooutput", "badinput", options=[elsewhere])
        self._open("held", "cancelledpending", options=[elsewhere, "--hold"])
        self._open("spot", "preempted", options=[there], **spot)
        self._open("lost", "preemptedforgood", options=[there, "--no-requeue"], **spot)
        self._open("node", "node", options=[f"--nodelist={self._failing}", "--no-requeue"])
        self._ask_for_one_minute(self.members["timeout"])
        for member in self.members.values():
            launch_all(member.services, [member.run_id])

    def carry_on(self) -> None:
        """Poll, do to the jobs what has to be done, and start what is due, until each run's outcome is there."""
        of = self.members
        acts = [
            self._requeue(of["requeued"]),
            self._cancel(of["cancelledrunning"], once=of["cancelledrunning"].is_executed),
            self._cancel(of["cancelledpending"], once=of["cancelledpending"].is_waiting),
            self._preempt(of["preempted"], of["preemptedforgood"]),
            self._fail_node(of["node"]),
        ]
        deadline = time.monotonic() + SETTLE_SECONDS
        while acts or not all(self._has_outcome(member) for member in of.values()):
            assert time.monotonic() < deadline, {label: (it.run.status, it.run.reason) for label, it in of.items()}
            for services in self._services():
                poll_round(services, at_once=True)
            acts = [act for act in acts if _goes_on(act)]
            self._start_what_waits()
            time.sleep(0.5)

    def end(self) -> None:
        """Give the node back, end the jobs that are left, and disconnect."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            self._resume_node()
        left = [attempt.job_id for services in self._services() for attempt in services.state.open_attempts()]
        for job_id in (self._preemptor, *left):
            if job_id:
                run(["scancel", job_id])
        for services in self._services():
            services.database.close()

    def _open(self, site_name: str, *labels: str, options: list[str], **ours: Any) -> None:
        retry = {"max_attempts": MAX_ATTEMPTS, "initial_delay_minutes": DELAY_MINUTES, "jitter": 0}
        settings = {"memory_mb": MEMORY_MB, "sbatch_lines": options, "retry": retry, **ours}
        site = FastSite(self._root / site_name, self._slurm, {"pipelines": {PIPELINE: settings}}, extra=BEHAVIOUR)
        services = site.services()
        for session in site.add_labelled(services, labels):
            self.members[session.label] = Member(site, services, site.open_run(services, session).id)

    def _services(self) -> list[Services]:
        return list({id(member.services): member.services for member in self.members.values()}.values())

    def _ask_for_one_minute(self, member: Member) -> None:
        request = member.services.registry.get(PIPELINE).resources
        member.services.state.move_run(
            member.run_id,
            expected=[RunStatus.PENDING],
            to=RunStatus.QUEUED,
            reason="for a minute only",
            resources=replace(request, time_minutes=1),
        )

    def _has_outcome(self, member: Member) -> bool:
        if member is self.members["node"]:  # its node is the only one that it may run on
            return member.run.status is RunStatus.RETRY_WAIT
        return member.run.status in ENDED_RUN_STATUSES

    def _start_what_waits(self) -> None:
        for member in self.members.values():
            if member.run.status is RunStatus.RETRY_WAIT and member is not self.members["node"]:
                launch_all(member.services, [member.run_id])

    def _requeue(self, member: Member) -> Act:
        yield from _until(member.is_executed)
        run(["scontrol", "requeue", member.job_id])
        yield from _until(member.is_waiting)
        _start_soon(member)

    def _cancel(self, member: Member, *, once: Callable[[], bool]) -> Act:
        yield from _until(once)
        run(["scancel", member.job_id])

    def _preempt(self, requeued: Member, ended: Member) -> Act:
        yield from _until(lambda: requeued.is_executed() and ended.is_executed())
        where = ["--partition", self._slurm.partition, "--account", self._slurm.account, "-w", self._spot_node]
        request = ["--mem", f"{PREEMPTOR_MB}M", "--time", "10", "--output", "/dev/null", "--wrap", "sleep 600"]
        self._preemptor = run(["sbatch", "--parsable", *where, *request]).strip()
        yield from _until(lambda: requeued.is_waiting() and len(ended.ending().reasons(RunStatus.RETRY_WAIT)) == 1)
        run(["scancel", self._preemptor])
        _start_soon(requeued)

    def _fail_node(self, member: Member) -> Act:
        yield from _until(member.is_executed)
        run(["scontrol", "update", f"nodename={self._failing}", "state=down", "reason=test"])
        yield from _until(lambda: member.attempt.failure is not None)
        self._resume_node()

    def _resume_node(self) -> None:
        if run(["sinfo", "--noheader", "--nodes", self._failing, "--format=%E"]).split() == ["test"]:
            run(["scontrol", "update", f"nodename={self._failing}", "state=resume"])


def _goes_on(act: Act) -> bool:
    return next(act, False) is None


def _until(condition: Callable[[], bool]) -> Act:
    while not condition():
        yield


def _start_soon(member: Member) -> None:
    # SLURM lets a requeued job wait for two minutes; a start in the second of the requeue is refused by slurmd
    # ("Job credential revoked": it counts in whole seconds).
    run(["scontrol", "update", f"jobid={member.job_id}", "StartTime=now+2"])
