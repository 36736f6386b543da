"""What is read from the results' files: bounded in time, kept between reports, found with few listings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.adapters.key_figures import KeyFigure, KeyFigures, RegionMeans, tool_reports
from neuroflow.report.cohort import cohort_of
from neuroflow.report.figure_cache import FigureCache
from neuroflow.report.figures import Figures, Readers, read_figures
from neuroflow.report.region_values import RegionValues, region_data
from neuroflow.report.tool_reports import ReportIndex
from tests.report import made_up

FA = KeyFigure("mean_fa", 0.5, "", "Mean FA over 5 regions", "sub-1/fa.tsv")
MEANS = RegionMeans("mean_fa", "FA per region: A", (("1", "left"), ("2", "right")), (0.5, None))
FOUND = KeyFigures((FA,), regions=(MEANS,))


class Disk:
    """Results that are looked at, and how often."""

    def __init__(self, answer: KeyFigures, cache: FigureCache | None = None, *, looks: int = 1000) -> None:
        self.answer = answer
        self.cache = cache or FigureCache(None)
        self.looked: list[tuple[str, Path, str, str | None]] = []
        self.left = looks

    def look(self, pipeline: str, output: Path, *, subject: str, session: str | None) -> KeyFigures:
        self.looked.append((pipeline, output, subject, session))
        return self.answer

    def find(self, pipeline: str, output: Path, *, subject: str, session: str | None) -> tuple[Path, ...]:
        return (output / f"{subject}-{session}.html",) if pipeline == "qsiprep" else ()

    def has_time(self) -> bool:
        return len(self.looked) < self.left

    def read(self, made: made_up.Cohort) -> Figures:
        readers = Readers(self.look, self.find, self.cache, lambda path: path.replace("/data", "/mnt"), self.has_time)
        figures = read_figures(cohort_of(made.history(), made_up.PIPELINES), readers)
        self.cache.save()
        return figures


@pytest.fixture
def made() -> made_up.Cohort:
    """Two finished sessions of one subject."""
    made = made_up.Cohort()
    for label in ("a", "b"):
        session = made.add_session("1", label)
        for pipeline in ("bids_conversion", "qsirecon", "qsiparc"):
            made.add_run(session, pipeline)
    made.add_run(made.sessions[0], "qsiprep")
    return made


def test_each_session_has_its_figures_and_a_run_its_reports(made: made_up.Cohort) -> None:
    disk = Disk(KeyFigures((FA,)))
    figures = disk.read(made)
    assert sorted(disk.looked, key=str) == [
        ("qsiparc", Path("/mnt/derivatives/qsiparc"), "1", "a"),
        ("qsiparc", Path("/mnt/derivatives/qsiparc"), "1", "b"),
        ("qsiprep", Path("/mnt/derivatives/qsiprep"), "1", "a"),
        ("qsiprep", Path("/mnt/derivatives/qsiprep"), "1", "b"),
    ]
    assert [(kind.pipeline, values) for kind, values in figures.values.items()] == [
        ("qsiprep", {0: 0.5, 1: 0.5}),
        ("qsiparc", {0: 0.5, 1: 0.5}),
    ]
    assert figures.reports[7] == (Path("/mnt/derivatives/qsiprep/1-None.html"),)
    assert (figures.read, figures.kept, figures.left) == (4, 0, 0)


def test_when_the_time_is_over_the_rest_is_counted(made: made_up.Cohort) -> None:
    figures = Disk(KeyFigures((FA,)), looks=1).read(made)
    assert (figures.read, figures.left) == (1, 3)
    none = Disk(KeyFigures((FA,)), looks=0).read(made)
    assert (none.read, none.left, none.reports) == (0, 4, {})


def test_what_is_broken_is_told_and_not_kept(made: made_up.Cohort, tmp_path: Path) -> None:
    disk = Disk(KeyFigures((FA,), ("fa.tsv is cut short",)), FigureCache(tmp_path / "kept"))
    figures = disk.read(made)
    assert (figures.unreadable, figures.problems) == (4, ["fa.tsv is cut short"] * 4)
    assert not (tmp_path / "kept").exists()


def test_a_region_more_makes_no_other_figure(made: made_up.Cohort) -> None:
    disk = Disk(KeyFigures((FA,)))
    first = disk.look

    def look(pipeline: str, output: Path, *, subject: str, session: str | None) -> KeyFigures:
        first(pipeline, output, subject=subject, session=session)
        return KeyFigures((KeyFigure("mean_fa", 0.5, "", f"Mean FA of {session}", "x"),))

    disk.look = look  # type: ignore[method-assign]
    assert len(disk.read(made).values) == 2


def test_values_per_region_are_read_with_the_figures(made: made_up.Cohort) -> None:
    regions = Disk(FOUND).read(made).regions
    assert list(regions.atlases["mean_fa"].sessions) == [0, 1]


class TestRegions:
    def test_a_region_is_itself_by_index_and_label_wherever_it_stands(self) -> None:
        values = RegionValues()
        values.add(0, MEANS)
        values.add(2, replace(MEANS, regions=(("2", "right"), ("1", "other")), values=(0.123456, 0.2)))
        (atlas,) = region_data(values)["atlases"]  # type: ignore[misc, has-type]
        assert list(zip(atlas["indices"], atlas["names"], strict=True)) == [
            ("1", "left"),
            ("2", "right"),
            ("1", "other"),
        ]
        assert (atlas["sessions"], atlas["values"]) == ([0, 2], [[0.5, None, None], [None, 0.1235, 0.2]])

    def test_too_many_are_left_out_gaps_counted(self) -> None:
        values = RegionValues(most=4)
        values.add(0, MEANS)
        values.add(1, MEANS)
        assert not values.left_out
        values.add(1, replace(MEANS, regions=(("3", "new"), ("1", "left"))))
        values.add(2, MEANS)
        assert region_data(values) == {"leftOut": True, "most": 4, "atlases": []}


class TestCache:
    def test_without_regions_an_entry_serves_only_who_wants_none(self, tmp_path: Path) -> None:
        (tmp_path / FA.source).parent.mkdir()
        (tmp_path / FA.source).write_text("one")
        cache = FigureCache(tmp_path / "kept")
        cache.put("a", tmp_path, FOUND, with_regions=False)
        cache.save()
        assert FigureCache(tmp_path / "kept").get("a", tmp_path, with_regions=True) is None
        assert FigureCache(tmp_path / "kept").get("a", tmp_path, with_regions=False) == KeyFigures((FA,))

    def test_what_was_read_is_kept_until_its_file_changes(self, tmp_path: Path) -> None:
        path, file = tmp_path / "kept.json.gz", tmp_path / FA.source
        file.parent.mkdir()
        file.write_text("one")
        cache = FigureCache(path)
        cache.put("qsiparc/1/a", tmp_path, FOUND, with_regions=True)
        cache.save()
        assert FigureCache(path).get("qsiparc/1/a", tmp_path, with_regions=True) == FOUND
        assert FigureCache(path).get("qsiparc/2/a", tmp_path, with_regions=True) is None
        os.utime(file, ns=(1, 1))
        assert FigureCache(path).get("qsiparc/1/a", tmp_path, with_regions=True) is None
        file.unlink()
        assert FigureCache(path).get("qsiparc/1/a", tmp_path, with_regions=True) is None

    @pytest.mark.parametrize("data", [b"", b"no gzip", b"\x1f\x8b\x08\x00cut"])
    def test_a_broken_file_is_made_anew(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "kept.json.gz"
        path.write_bytes(data)
        assert FigureCache(path).get("qsiparc/1/a", tmp_path, with_regions=True) is None

    def test_where_nothing_can_be_written_nothing_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / FA.source).parent.mkdir()
        (tmp_path / FA.source).write_text("one")
        cache = FigureCache(tmp_path / "missing" / "kept.json.gz")
        cache.put("qsiparc/1/a", tmp_path, FOUND, with_regions=True)
        cache.save()


LAYOUT = (
    *("sub-1.html", "sub-10.html", "sub-1_ses-a.html", "sub-1_ses-b.html", "sub-1_ses-a_dwi.html", "notes.html"),
    *(
        "derivatives/qsirecon-NODDI/sub-1_ses-a.html",
        "derivatives/qsirecon-DKI/sub-1_ses-b.html",
        "derivatives/other/sub-1.html",
    ),
)


@pytest.mark.parametrize("session", ["a", "b", "c", None])
@pytest.mark.parametrize("pipeline", ["qsiprep", "qsirecon", "qsiparc"])
def test_reports_are_found_as_by_the_adapters(tmp_path: Path, pipeline: str, session: str | None) -> None:
    for name in LAYOUT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = ReportIndex().find(pipeline, tmp_path, subject="1", session=session)
    assert found == tool_reports(pipeline, tmp_path, subject="1", session=session)


def test_reports_in_the_folders_of_sessions_are_found(tmp_path: Path) -> None:
    path = tmp_path / "sub-1" / "ses-a" / "sub-1_ses-a.html"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    index = ReportIndex()
    assert index.find("qsiprep", tmp_path, subject="1", session="a") == (path,)
    assert index.find("qsiprep", tmp_path, subject="1", session=None) == (path,)
    assert index.find("qsiprep", tmp_path, subject="2", session=None) == ()
    assert index.find("qsiprep", tmp_path / "gone", subject="1", session="a") == ()
