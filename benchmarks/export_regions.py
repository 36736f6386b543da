"""Measure the tables of regions of a large cohort, against only reading the same files.

The tables are made up, as wide as QSIParc's; that runs are done is said, not looked up: the database has its own
measurement in `neuroflow export sessions` on what benchmarks/years.py makes up.

Run: python benchmarks/export_regions.py [SESSIONS [MAPS [REGIONS]]]
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord, SessionStatus
from neuroflow.export.region_choice import RegionChoice
from neuroflow.export.region_long import long_lines
from neuroflow.export.region_reading import RegionReader
from neuroflow.export.region_wide import WideTable
from neuroflow.orchestrator.standing import SessionResult, Standing

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DESCRIBED = ("index", "label", "hemisphere", "volume_mm3", "voxel_count")
STATISTICS = (
    *("z_filtered_mean", "z_filtered_std", "iqr_filtered_mean", "iqr_filtered_std", "robust_mean", "robust_std"),
    *("mad_median", "mean", "std", "median", "sum", "cv", "robust_cv", "skewness", "excess_kurtosis"),
    *("percentile_5", "percentile_25", "percentile_75", "percentile_95", "coverage"),
)
PARAMETERS = ("fa", "md", "ad", "rd", "mk", "ak", "rk", "icvf", "isovf", "od")


def make_up(output: Path, *, sessions: int, maps: int, regions: int) -> None:
    """Write the tables of all sessions."""
    header = "\t".join((*DESCRIBED, *STATISTICS, "scalar")) + "\n"
    rows = [
        (f"{index}\tregion_{index}\tL\t5531.250000\t354\t", "\t".join(f"0.{index:06d}" for _ in STATISTICS))
        for index in range(1, regions + 1)
    ]
    for subject in range(sessions):
        name = f"sub-{subject:05d}_ses-a"
        folder = output / f"sub-{subject:05d}" / "ses-a" / "dwi" / "atlas-Made"
        folder.mkdir(parents=True)
        for parameter in PARAMETERS[:maps]:
            text = header + "".join(f"{first}{values}\t{parameter}\n" for first, values in rows)
            file = f"{name}_atlas-Made_software-DKI_dir-AP_space-ACPC_model-dki_param-{parameter}_diffmap.tsv"
            (folder / file).write_text(text)


def results(output: Path, sessions: int) -> Iterator[SessionResult]:
    """Say of each session that it is done."""
    for number in range(sessions):
        label = f"{number:05d}"
        session = SessionRecord(number, number, label, "a", "", SessionStatus.READY, "", "", NOW, (), (), NOW, NOW)
        run = RunRecord(
            **{"id": number, "pipeline": "qsiparc", "level": Level.SESSION, "scope": session.scope},
            **{"subject_id": number, "session_id": number, "subject": label, "session": "a", "inputs_key": ""},
            **{"status": RunStatus.COMPLETED, "reason": "", "superseded": False, "attempts": 1, "failure": None},
            **{"error_message": "", "output_path": str(output), "next_attempt_at": None, "resources": None},
            **{"exclude_nodes": (), "metrics": {}, "workflow_run_id": None, "created_at": NOW, "updated_at": NOW},
            **{"started_at": NOW, "ended_at": NOW},
        )
        yield SessionResult(session, "qsiparc", Standing.CURRENT, "", run)


def read_only(output: Path) -> int:
    """Open and read every file, and return how many there are."""
    count = 0
    for folder, _, names in os.walk(output):
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8") as file:  # noqa: PTH118, PTH123  # as plain as can be
                file.read()
            count += 1
    return count


def export(output: Path, sessions: int, layout: str) -> int:
    """Export one layout to nowhere, and return the number of lines."""
    reader = RegionReader(RegionChoice(), output.parent / "qsirecon")
    cohort = reader.read(results(output, sessions))
    lines = WideTable(reader.report.layouts, ("mean",)).lines(cohort) if layout == "wide" else None
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        count = 0
        for count, line in enumerate(lines or long_lines(cohort, ("mean",))):  # noqa: B007
            file.write(line)
    assert reader.report.is_complete
    return count


def main() -> None:
    """Make up a cohort, and measure; CPU times, as other work on the machine does not change them."""
    numbers = [int(text) for text in sys.argv[1:]]
    sessions, maps, regions = (*numbers, *(2000, 4, 100)[len(numbers) :])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "qsiparc"
        make_up(output, sessions=sessions, maps=maps, regions=regions)
        began = time.process_time()
        files = read_only(output)
        plain = time.process_time() - began
        print(f"{sessions} sessions, {files} files of {regions} regions; only reading them: {plain:.2f} s CPU")
        for layout in ("long", "wide"):
            began = time.process_time()
            rows = export(output, sessions, layout)
            took = time.process_time() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{layout}: {rows} rows, {took:.2f} s CPU, {took / plain:.1f} times as long, {memory:.0f} MiB at most"
            )


if __name__ == "__main__":
    main()
