"""A pipeline whose runs take a moment on a real SLURM, for tests that need hundreds of them.

It is QSIRecon's place in the chain with a shell script as its program: no containers, no commands before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroflow.domain import FoundSession, Level, RunProposal, RunRecord, Series, SessionRecord
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site, merge
from tests.support.slurm import Slurm

PIPELINE = "qsirecon"
DOWNSTREAM = "qsiparc"
# QSIRecon: IN OUT participant --participant-label SUBJECT --session-id SESSION …
# QSIParc: run IN OUT --participant-label SUBJECT --session-label SESSION …
SCRIPT = """#!/bin/sh
pipeline=qsirecon
if [ "$1" = run ]; then pipeline=qsiparc; shift; fi
out=$2
while [ $# -gt 1 ]; do
    case $1 in
        --participant-label) subject=$2 ;;
        --session-id | --session-label) session=$2 ;;
    esac
    shift
done
echo "$pipeline/sub-$subject/ses-$session" >>"{log}"
{extra}
mkdir -p "$out/sub-$subject/ses-$session" && echo done >"$out/sub-$subject/ses-$session/result.txt"
"""


class FastSite(Site):
    """A site on the real SLURM whose runs append a line to one file each time that they are executed."""

    def __init__(self, root: Path, slurm: Slurm, changes: Mapping[str, Any] | None = None, *, extra: str = "") -> None:
        self.executions_log = root / "executions"
        program = root / "program.sh"
        ours = {
            "program": [str(program)],
            "outputs": ["sub-{subject}/ses-{session}/result.txt"],
            "atlases": [],
            "cpus": 1,
            "memory_mb": 200,
            "time_minutes": 10,
        }
        content: dict[str, Any] = {
            "cluster": {
                "kind": "slurm",
                "name": "test",
                "account": slurm.account,
                "partition": slurm.partition,
                "poll_seconds": 1,
                "calls_per_minute": 6000,
                "accounting_grace_seconds": 10,
                "command_timeout_seconds": 20,
            },
            "workflow": {"max_concurrent": {PIPELINE: 1000, DOWNSTREAM: 1000}},
            "pipelines": {
                "bids_conversion": {"enabled": False},
                "qsiprep": {"enabled": False},
                PIPELINE: {**ours, "version": "26.0.0", "depends_on": []},
                DOWNSTREAM: ours,
            },
        }
        merge(content, changes or {})
        super().__init__(root, content)
        program.write_text(SCRIPT.format(log=self.executions_log, extra=extra), encoding="utf-8")
        program.chmod(0o755)

    def add_sessions(self, services: Services, count: int, *, subject: str = "01") -> list[SessionRecord]:
        """Write down as many sessions as if a scan had found them, ready."""
        return self.add_labelled(services, [f"{number:04}" for number in range(count)], subject=subject)

    def add_labelled(self, services: Services, labels: Sequence[str], *, subject: str = "01") -> list[SessionRecord]:
        """Write down sessions of these labels as if a scan had found them, ready."""
        series = (Series("1.2", 1, "dwi", "dwi", "MR", 20, 20, True),)
        found = [FoundSession(subject, label, f"/d/{subject}/{label}", "f", 20, 20, 0.0, series) for label in labels]
        services.state.record_scan(found, settle_minutes=0)
        return [session for session in services.state.list_sessions(subject=subject) if session.label in labels]

    def open_runs(self, services: Services, count: int, *, subject: str = "01") -> list[RunRecord]:
        """Open runs of as many new sessions."""
        return [self.open_run(services, session) for session in self.add_sessions(services, count, subject=subject)]

    def open_run(self, services: Services, session: SessionRecord) -> RunRecord:
        """Open the first run of a session."""
        proposal = RunProposal(
            PIPELINE, Level.SESSION, session.scope, session.subject_id, session.id, "dicom:f", "first run"
        )
        run = services.state.open_run(proposal)
        assert run is not None
        return run

    def executions(self) -> Counter[str]:
        """Count how often each `pipeline/scope`'s program was started."""
        text = self.executions_log.read_text(encoding="utf-8") if self.executions_log.exists() else ""
        return Counter(text.split())
