"""A small study whose runs are done as the scheduler wants them, with region tables on disk."""

from __future__ import annotations

from pathlib import Path

from neuroflow.config import NeuroflowConfig
from neuroflow.domain import AdapterResult, RunProposal
from neuroflow.orchestrator.scheduler import plan_runs
from neuroflow.orchestrator.services import Services
from tests.support.states import FAILURE, GIVE_UP, SUCCESS, found, submit

COLUMNS = ("index", "label", "hemisphere", "volume_mm3", "voxel_count", "mean", "std", "coverage", "scalar")
REGIONS = ("left_tract", "right_tract", "central")
FOLDERS = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")


class Cohort:
    """A study in a folder, on an SQLite database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "dicom_root").mkdir(exist_ok=True)
        self.config_file = folder / "neuroflow.yaml"
        paths = "".join(f"  {name}: {name}\n" for name in FOLDERS)
        self.config_file.write_text(f"paths:\n{paths}cluster:\n  kind: local\ncontainers:\n  runtime: host\n")
        config = NeuroflowConfig.find_and_load(self.config_file)
        self.services = Services.from_config(config, check_schema=False)
        self.services.database.upgrade()
        self.output = config.paths.derivatives_root / "qsiparc"

    def add(self, *scopes: str) -> None:
        """Let a scan find sessions, each as `01/a`."""
        pairs = [scope.split("/") for scope in scopes]
        known = [(record.subject, record.label) for record in self.services.state.list_sessions()]
        both = sorted({*known, *((subject, session) for subject, session in pairs)})
        scan = [found(subject, session, fingerprint=f"{subject}{session}") for subject, session in both]
        self.services.state.record_scan(scan, settle_minutes=0)

    def process(self, *, failing: str = "") -> None:
        """Run what should run until nothing is left; `failing` is such as `qsiparc sub-01/ses-a`."""
        while proposals := plan_runs(self.services.state.snapshot(), self.services.registry).proposals:
            for proposal in proposals:
                self._end(proposal, success=f"{proposal.pipeline} {proposal.scope}" != failing)

    def _end(self, proposal: RunProposal, *, success: bool) -> None:
        state = self.services.state
        run = state.open_run(proposal)
        assert run is not None
        attempt = submit(state, run.id)
        result = AdapterResult(
            success=success,
            exit_code=0 if success else 1,
            output_path=str(self.folder / "derivatives_root" / proposal.pipeline) if success else None,
            error_message=None,
            metrics={},
            duration_seconds=60.0,
        )
        assert state.record_verdict(
            attempt.id, SUCCESS if success else FAILURE, None if success else GIVE_UP, result if success else None
        )


def write_tables(
    output: Path,
    scope: str,
    *parameters: str,
    regions: tuple[str, ...] = REGIONS,
    atlas: str = "Phantom",
    entities: str = "software-DemoTensor_dir-AP_space-ACPC_model-tensor",
) -> list[Path]:
    """Write a session's tables as QSIParc does; each value names its region's place, with a zero at its end."""
    subject, session = scope.split("/")
    folder = output / f"sub-{subject}" / f"ses-{session}" / "dwi" / f"atlas-{atlas}"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for parameter in parameters:
        name = f"sub-{subject}_ses-{session}_atlas-{atlas}_{entities}_param-{parameter}_diffmap.tsv"
        rows = [
            (str(place), region, "L", "12.500000", "354", f"0.{place}00000", "0.010000", "1.000000", parameter)
            for place, region in enumerate(regions, start=1)
        ]
        text = "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8")
    return written
