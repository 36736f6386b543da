"""The tables of regions hold QSIParc's numbers digit by digit, each where it belongs, and say what is missing."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord, SessionStatus
from neuroflow.errors import UsageError
from neuroflow.export.region_choice import RegionChoice, statistic_unit
from neuroflow.export.region_long import long_entries, long_lines, number
from neuroflow.export.region_reading import RegionReader
from neuroflow.export.region_wide import WideTable
from neuroflow.orchestrator.standing import Kind, SessionResult
from tests.export.cohort import REGIONS, write_tables

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FA = "mean_fa_Phantom_DemoTensor_tensor"


def result(
    scope: str,
    output: Path,
    *,
    standing: Kind = Kind.CURRENT,
    status: SessionStatus = SessionStatus.READY,
    reason: str = "done",
) -> SessionResult:
    """Return how qsiparc stands for a session, by run 7."""
    subject, label = scope.split("/")
    session = SessionRecord(1, 1, subject, label, "", status, "", "", NOW, (), (), NOW, NOW)
    run = RunRecord(
        id=7,
        pipeline="qsiparc",
        level=Level.SESSION,
        scope=session.scope,
        subject_id=1,
        session_id=1,
        subject=subject,
        session=label,
        inputs_key="",
        status=RunStatus.COMPLETED,
        reason=reason,
        superseded=False,
        attempts=1,
        failure=None,
        error_message="",
        output_path=str(output),
        next_attempt_at=None,
        resources=None,
        exclude_nodes=(),
        metrics={},
        workflow_run_id=None,
        created_at=NOW,
        updated_at=NOW,
        started_at=NOW,
        ended_at=NOW,
    )
    return SessionResult(session, "qsiparc", standing, reason, run)


class Export:
    """Both tables of some sessions, read back."""

    def __init__(self, results: Iterable[SessionResult], choice: RegionChoice, *, layout: str, recon: Path) -> None:
        reader = RegionReader(choice, recon)
        cohort = reader.read(results)
        self.report = reader.report
        if layout == "wide":
            wide = WideTable(reader.report.layouts, choice.statistics)
            lines = list(wide.lines(cohort))
            self.entries = wide.entries(reader.units)
        else:
            lines = list(long_lines(cohort, choice.statistics))
            self.entries = long_entries(reader.units, choice.statistics)
        self.rows = list(csv.DictReader(lines, delimiter="\t"))
        self.columns = next(csv.reader(lines[:1], delimiter="\t"))
        assert list(self.entries) == self.columns
        assert all(None not in row and None not in row.values() for row in self.rows)


def export(output: Path, *scopes: str, choice: RegionChoice | None = None, layout: str = "long") -> Export:
    """Export sessions that are done."""
    results = [result(scope, output) for scope in scopes]
    return Export(results, choice or RegionChoice(), layout=layout, recon=output.parent / "qsirecon")


def test_the_long_table_has_a_line_for_each_region_and_the_digits_of_the_file(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", "md")

    found = export(tmp_path, "01/a")

    assert [(row["parameter"], row["region_index"], row["region_label"], row["value"]) for row in found.rows] == [
        ("fa", "1", "left_tract", "0.100000"),
        ("fa", "2", "right_tract", "0.200000"),
        ("fa", "3", "central", "0.300000"),
        ("md", "1", "left_tract", "0.100000"),
        ("md", "2", "right_tract", "0.200000"),
        ("md", "3", "central", "0.300000"),
    ]
    first = found.rows[0]
    assert (first["participant_id"], first["session_id"], first["acquisition"]) == ("sub-01", "ses-a", "dir-AP")
    assert (first["atlas"], first["software"], first["model"], first["run_id"]) == (
        "Phantom",
        "DemoTensor",
        "tensor",
        "7",
    )
    assert (first["n_voxels"], first["coverage"], first["hemisphere"]) == ("354", "1.000000", "L")


def test_the_wide_table_has_a_line_for_each_session_and_the_digits_of_the_file(tmp_path: Path) -> None:
    for scope in ("01/a", "02/a"):
        write_tables(tmp_path, scope, "fa")

    found = export(tmp_path, "01/a", "02/a", layout="wide")

    assert found.columns == [
        *("participant_id", "session_id", "acquisition", "run_id", "n_missing"),
        *(f"{FA}_1_left_tract", f"{FA}_2_right_tract", f"{FA}_3_central"),
    ]
    assert [row["participant_id"] for row in found.rows] == ["sub-01", "sub-02"]
    assert [list(row.values())[4:] for row in found.rows] == [["0", "0.100000", "0.200000", "0.300000"]] * 2
    assert found.report.is_complete


def test_regions_are_told_apart_by_number_and_name_and_never_by_their_place(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", regions=("x", "y", "z"))
    write_tables(tmp_path, "02/a", "fa", regions=("x", "z"))

    found = export(tmp_path, "01/a", "02/a", layout="wide")

    assert [name.removeprefix(f"{FA}_") for name in found.columns[5:]] == ["1_x", "2_y", "2_z", "3_z"]
    assert [list(row.values())[4:] for row in found.rows] == [
        ["1", "0.100000", "0.200000", "n/a", "0.300000"],
        ["2", "0.100000", "n/a", "0.200000", "n/a"],
    ]
    assert not found.report.is_complete
    lines = list(found.report.differences())
    assert any("without 1 of 4 regions, such as 2 z: sub-01/ses-a" in line for line in lines)
    assert any("without 2 of 4 regions, such as 2 y: sub-02/ses-a" in line for line in lines)


def test_a_map_that_a_session_lacks_is_named_and_its_cells_are_missing(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", "md")
    write_tables(tmp_path, "02/a", "fa")

    found = export(tmp_path, "01/a", "02/a", layout="wide")

    assert found.rows[1]["n_missing"] == "3"
    assert list(found.report.differences()) == ["md_Phantom_DemoTensor_tensor, without a table: sub-02/ses-a"]


def test_maps_of_several_programs_do_not_mix(tmp_path: Path) -> None:
    for entities in ("software-A_model-tensor", "software-B_model-tensor", "software-B_model-dki"):
        write_tables(tmp_path, "01/a", "fa", entities=entities)

    found = export(tmp_path, "01/a", layout="wide")

    assert len(found.columns) == 5 + 3 * len(REGIONS)
    assert found.rows[0]["n_missing"] == "0"
    chosen = export(tmp_path, "01/a", choice=RegionChoice(software=("A",)))
    assert {row["software"] for row in chosen.rows} == {"A"}


def test_the_acquisition_is_a_column_so_that_one_map_is_one_column(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", entities="software-X_dir-AP")
    write_tables(tmp_path, "02/a", "fa", entities="software-X_dir-PA_run-1")
    write_tables(tmp_path, "02/a", "fa", entities="software-X_dir-PA_run-2")

    found = export(tmp_path, "01/a", "02/a", layout="wide")

    assert [row["acquisition"] for row in found.rows] == ["dir-AP", "dir-PA_run-1", "dir-PA_run-2"]
    assert {row["n_missing"] for row in found.rows} == {"0"}
    assert found.report.sessions == 2


def test_a_second_table_of_one_map_is_not_taken_in_its_place(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", entities="software-X_space-ACPC")
    write_tables(tmp_path, "01/a", "fa", entities="software-X_space-T1w")

    found = export(tmp_path, "01/a")

    assert len(found.rows) == len(REGIONS)
    assert "second table" in found.report.problems[0]


def test_sessions_without_results_are_named_with_the_reason(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa")
    results = [
        result("01/a", tmp_path),
        result("02/a", tmp_path, standing=Kind.BLOCKED, reason="qsiparc failed: exit code 1"),
        result("03/a", tmp_path),
        result("04/a", tmp_path, standing=Kind.ABSENT, status=SessionStatus.EXCLUDED),
    ]

    found = Export(results, RegionChoice(), layout="long", recon=tmp_path)

    assert {row["participant_id"] for row in found.rows} == {"sub-01"}
    assert found.report.excluded == 1
    assert found.report.missing["sub-02/ses-a"] == "qsiparc failed: exit code 1"
    assert "run 7 left no such table" in found.report.missing["sub-03/ses-a"]
    assert next(found.report.lines()) == "sessions with tables: 1, without: 2, excluded: 1"


def test_results_that_are_not_current_are_not_taken_though_their_tables_are_there(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa")

    found = Export(
        [result("01/a", tmp_path, standing=Kind.COMING, reason="waits for qsirecon")],
        RegionChoice(),
        layout="wide",
        recon=tmp_path,
    )

    assert found.rows == []
    assert found.report.missing == {"sub-01/ses-a": "waits for qsirecon"}


def test_a_broken_table_is_a_problem_and_the_others_count(tmp_path: Path) -> None:
    broken, _ = write_tables(tmp_path, "01/a", "fa", "md")
    broken.write_text(broken.read_text()[:-5])

    found = export(tmp_path, "01/a", layout="wide")

    assert {name.split("_")[1] for name in found.columns[5:]} == {"md"}
    assert str(broken) in found.report.problems[0]
    assert not found.report.is_complete


def test_values_that_qsiparc_has_not_are_missing(tmp_path: Path) -> None:
    [path] = write_tables(tmp_path, "01/a", "fa")
    path.write_text(path.read_text().replace("0.200000", ""))

    assert [row["value"] for row in export(tmp_path, "01/a").rows] == ["0.100000", "n/a", "0.300000"]
    assert export(tmp_path, "01/a", layout="wide").rows[0]["n_missing"] == "1"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("0.700000", "0.700000"),
        ("-0.5", "-0.5"),
        ("1e-05", "1e-05"),
        ("", "n/a"),
        ("nan", "n/a"),
        ("=1+1", "'=1+1"),
        ("a\tb", r"a\tb"),
    ],
)
def test_a_number_stays_as_it_is_and_nothing_else_gets_through(cell: str, written: str) -> None:
    assert number(cell) == written


def test_hostile_region_names_stay_in_their_cell_and_column(tmp_path: Path) -> None:
    [path] = write_tables(tmp_path, "01/a", "fa")
    path.write_text(path.read_text().replace("left_tract", '"a\tb\n=c"').replace("right_tract", "=2+2"))

    assert [row["region_label"] for row in export(tmp_path, "01/a").rows] == [r"a\tb\n=c", "'=2+2", "central"]
    wide = export(tmp_path, "01/a", layout="wide")
    assert wide.columns[5:] == [f"{FA}_1_a_b_c", f"{FA}_2_2_2", f"{FA}_3_central"]


def test_names_that_would_be_alike_are_told_apart(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", regions=("a-b",))
    write_tables(tmp_path, "02/a", "fa", regions=("a b",))

    wide = export(tmp_path, "01/a", "02/a", layout="wide")

    assert wide.columns[5:] == [f"{FA}_1_a_b", f"{FA}_1_a_b_2"]


def test_the_choice_is_by_atlas_measure_and_statistic(tmp_path: Path) -> None:
    write_tables(tmp_path, "01/a", "fa", "md", atlas="A")
    write_tables(tmp_path, "01/a", "fa", "md", atlas="4B")
    choice = RegionChoice(atlases=("4B",), measures=("FA",), statistics=("std", "mean"))

    wide = export(tmp_path, "01/a", choice=choice, layout="wide")
    long = export(tmp_path, "01/a", choice=choice)

    assert wide.columns[5] == "std_fa_4B_DemoTensor_tensor_1_left_tract"
    assert wide.columns[8] == "mean_fa_4B_DemoTensor_tensor_1_left_tract"
    assert [(row["statistic"], row["value"]) for row in long.rows[:2]] == [("std", "0.010000"), ("mean", "0.100000")]
    assert {(row["atlas"], row["parameter"]) for row in long.rows} == {("4B", "fa")}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (RegionChoice(atlases=("Phantm",)), "--atlas: no session has 'Phantm'. Did you mean 'Phantom'?"),
        (RegionChoice(measures=("FAA",)), "--measure: no session has 'FAA'. Did you mean 'fa'?"),
        (RegionChoice(software=("x",)), "--software: no session has 'x'. There are: DemoTensor"),
        (RegionChoice(statistics=("meen",)), "--statistic: no session has 'meen'. Did you mean 'mean'?"),
    ],
)
def test_what_no_session_has_is_refused_with_what_there_is(tmp_path: Path, choice: RegionChoice, said: str) -> None:
    write_tables(tmp_path, "01/a", "fa", "md")

    with pytest.raises(UsageError) as error:
        export(tmp_path, "01/a", choice=choice)

    assert said in str(error.value)


def test_a_unit_is_that_of_qsirecons_sidecar(tmp_path: Path) -> None:
    [path] = write_tables(tmp_path / "qsiparc", "01/a", "md")
    source = "sub-01_ses-a_dir-AP_space-ACPC_model-tensor_param-md_dwimap"
    about = {"software": "DemoTensor", "source_file": f"/qsirecon/anywhere/{source}.nii.gz"}
    path.with_suffix(".json").write_text(json.dumps(about))
    sidecar = tmp_path / f"qsirecon/derivatives/qsirecon-DemoTensor/sub-01/ses-a/dwi/{source}.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text('{"Units": "mm^2/s"}')

    wide = export(tmp_path / "qsiparc", "01/a", layout="wide", choice=RegionChoice(statistics=("mean", "voxel_count")))
    long = export(tmp_path / "qsiparc", "01/a")

    assert [entry.get("Units") for entry in list(wide.entries.values())[5:]] == ["mm^2/s"] * 3 + ["voxels"] * 3
    assert long.entries["value"]["UnitsByMap"] == {"mean of md_Phantom_DemoTensor_tensor": "mm^2/s"}


@pytest.mark.parametrize(
    ("statistic", "unit"),
    [("mean", "u"), ("robust_std", "u"), ("percentile_95", "u"), ("mad_median", "u"), ("cv", ""), ("coverage", "")],
)
def test_only_some_statistics_have_the_unit_of_the_map(statistic: str, unit: str) -> None:
    assert statistic_unit(statistic, "u") == unit
