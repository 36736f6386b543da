"""The numbers of a session that a report shows, from the tools' own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.adapters.key_figures import look_up_key_figures, read_key_figures, tool_reports

QC = "file_name\tmean_fd\tmax_fd\traw_neighbor_corr\tt1_neighbor_corr\traw_num_bad_slices\nx\t0.35\t1.1\t0.82\tn/a\t3\n"
TABLE = "index\tlabel\themisphere\tmean\n1\tleft\tL\t0.250000\n2\tright\tR\t0.750000\n3\tnone\t\t\n"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _values(pipeline: str, output: Path, session: str | None = "a") -> dict[str, float]:
    return {figure.name: figure.value for figure in read_key_figures(pipeline, output, subject="01", session=session)}


def test_qsipreps_table_gives_what_it_has_and_no_more(tmp_path: Path) -> None:
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_space-ACPC_desc-image_qc.tsv", QC)

    figures = read_key_figures("qsiprep", tmp_path, subject="01", session="a")

    assert [(figure.name, figure.value, figure.unit) for figure in figures] == [
        ("mean_fd", 0.35, "mm"),
        ("max_fd", 1.1, "mm"),
        ("raw_neighbor_corr", 0.82, ""),
        ("raw_num_bad_slices", 3.0, "slices"),
    ]
    assert {figure.source for figure in figures} == {"sub-01/ses-a/dwi/sub-01_ses-a_space-ACPC_desc-image_qc.tsv"}


def test_the_table_of_older_releases_is_read_alike(tmp_path: Path) -> None:
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_desc-ImageQC_dwi.csv", QC.replace("\t", ","))

    assert _values("qsiprep", tmp_path)["mean_fd"] == 0.35


def test_motion_comes_from_the_confounds_where_the_table_has_none(tmp_path: Path) -> None:
    confounds = "framewise_displacement\ttrans_x\nn/a\t0\n0.2\t0\n0.4\t0\n"
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_desc-confounds_timeseries.tsv", confounds)

    assert _values("qsiprep", tmp_path) == pytest.approx({"mean_fd": 0.3, "max_fd": 0.4})


def test_two_series_of_one_session_are_told_apart_by_their_labels(tmp_path: Path) -> None:
    for run in ("run-1", "run-2"):
        _write(tmp_path / f"sub-01/ses-a/dwi/sub-01_ses-a_{run}_space-ACPC_desc-image_qc.tsv", QC)

    labels = [figure.label for figure in read_key_figures("qsiprep", tmp_path, subject="01", session="a")]

    assert len(set(labels)) == len(labels) == 8
    assert any(label.endswith(" (run-2_space-ACPC)") for label in labels)
    assert not any("ses-a" in label for label in labels)  # the label stands over all sessions of a cohort


def test_a_subjects_run_gives_the_figures_of_each_of_its_sessions(tmp_path: Path) -> None:
    for session in ("a", "b"):
        _write(tmp_path / f"sub-01/ses-{session}/dwi/sub-01_ses-{session}_space-ACPC_desc-image_qc.tsv", QC)

    figures = read_key_figures("qsiprep", tmp_path, subject="01", session=None)

    assert [figure.source.split("/")[1] for figure in figures if figure.name == "mean_fd"] == ["ses-a", "ses-b"]


def test_data_without_sessions_have_figures_too(tmp_path: Path) -> None:
    _write(tmp_path / "sub-01/dwi/sub-01_space-ACPC_desc-image_qc.tsv", QC)

    assert _values("qsiprep", tmp_path, None)["max_fd"] == 1.1


@pytest.mark.parametrize("text", ["", "mean_fd\n", "a\tb\n1\n", "\x00", '"open\t1\n2'])
def test_a_broken_table_is_named_and_the_others_count(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_run-1_desc-image_qc.tsv", text)
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_run-2_desc-image_qc.tsv", QC)

    found = look_up_key_figures("qsiprep", tmp_path, subject="01", session="a")

    assert len(found.figures) == 4
    assert len(found.problems) == 1
    assert "run-1_desc-image_qc.tsv" in found.problems[0]


def _table(output: Path, entities: str, text: str = TABLE) -> Path:
    return _write(output / f"sub-01/ses-a/dwi/atlas-A/sub-01_ses-a_atlas-A_{entities}_diffmap.tsv", text)


def test_qsiparcs_tables_give_the_mean_over_the_regions_that_have_a_value_fa_first(tmp_path: Path) -> None:
    for parameter in ("ad", "fa", "rmse"):
        _table(tmp_path, f"software-DKI_dir-AP_space-ACPC_model-dki_param-{parameter}")

    assert list(_values("qsiparc", tmp_path).items()) == [("mean_fa_A_DKI_dki", 0.5), ("mean_ad_A_DKI_dki", 0.5)]


def test_acquisitions_are_named_only_where_there_are_several(tmp_path: Path) -> None:
    for run in ("run-1", "run-2"):
        _table(tmp_path, f"software-DKI_{run}_space-ACPC_model-dki_param-fa")

    assert list(_values("qsiparc", tmp_path)) == ["mean_fa_A_DKI_dki_run-1", "mean_fa_A_DKI_dki_run-2"]


def test_fa_is_there_per_region_and_of_a_model_without_it_the_first_parameter(tmp_path: Path) -> None:
    for entities in ("software-DKI_model-dki_param-fa", "software-DKI_model-dki_param-md", "software-N_param-od"):
        _table(tmp_path, entities)

    found = look_up_key_figures("qsiparc", tmp_path, subject="01", session="a").regions

    assert [one.label for one in found] == ["FA per region: A, DKI, dki", "OD per region: A, N"]
    assert list(zip(found[0].regions, found[0].values, strict=True)) == [
        *((("1", "left"), 0.25), (("2", "right"), 0.75), (("3", "none"), None))
    ]


def test_a_table_that_a_killed_job_cut_short_gives_no_figure(tmp_path: Path) -> None:
    _table(tmp_path, "param-fa", TABLE[:-12])
    _table(tmp_path, "param-md")

    found = look_up_key_figures("qsiparc", tmp_path, subject="01", session="a")

    assert [figure.name for figure in found.figures] == ["mean_md_A"]
    assert "param-fa" in found.problems[0]


def test_what_is_not_there_has_no_figures(tmp_path: Path) -> None:
    for pipeline in ("qsiprep", "qsirecon", "qsiparc", "own"):
        found = look_up_key_figures(pipeline, tmp_path / "missing", subject="01", session="a")
        assert found.figures == found.problems == ()
        assert tool_reports(pipeline, tmp_path / "missing", subject="01", session="a") == ()


def test_a_label_that_is_none_reaches_no_other_folder(tmp_path: Path) -> None:
    _write(tmp_path / "sub-01/ses-a/dwi/sub-01_ses-a_desc-image_qc.tsv", QC)

    assert read_key_figures("qsiprep", tmp_path / "x", subject="../../sub-01", session="a") == ()
    assert tool_reports("qsiprep", tmp_path, subject="*", session=None) == ()


def test_the_tools_own_reports_are_found_where_each_release_puts_them(tmp_path: Path) -> None:
    mine = ["sub-1.html", "sub-1_ses-a.html", "sub-1/ses-a/sub-1_ses-a.html", "sub-1_ses-b.html"]
    for name in [*mine, "sub-10.html", "sub-10_ses-a.html", "sub-1.txt"]:
        _write(tmp_path / "qsiprep" / name, "")
    _write(tmp_path / "qsirecon/derivatives/qsirecon-DKI/sub-1_ses-a.html", "")

    def names(pipeline: str, session: str | None) -> set[str]:
        reports = tool_reports(pipeline, tmp_path / pipeline, subject="1", session=session)
        return {path.relative_to(tmp_path / pipeline).as_posix() for path in reports}

    assert names("qsiprep", None) == set(mine)
    assert names("qsiprep", "a") == set(mine[:3])
    assert names("qsirecon", "a") == {"derivatives/qsirecon-DKI/sub-1_ses-a.html"}
