"""The page as text: its data, its escapes, its policy, and where it is written."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from neuroflow.errors import UsageError
from neuroflow.report.compact import Columns, Texts, shown
from neuroflow.report.document import MARK, PARTS, SCRIPTS, document, json_for_html
from neuroflow.report.payload import DETAILED_SESSIONS, link, payload
from neuroflow.report.write import check_target, write_page
from tests.report import made_up

HOSTILE = '</script><img src=x onerror="window.pwned=1"><!--<script>&amp;\u2028\u202e\x1b[31m\udce9'


class Parts(HTMLParser):
    """The elements of a page, and the text of its data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data_text = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._in_data = tag == "script" and ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data_text += data
            self._in_data = False


def parts_of(path: Path) -> Parts:
    parts = Parts()
    parts.feed(path.read_text(encoding="utf-8"))
    parts.close()
    return parts


@pytest.fixture
def hostile(tmp_path: Path) -> Parts:
    """A page in which every text that comes from outside tries to break out."""
    made = made_up.cohort(8, error=HOSTILE)
    made.sessions[0] = replace(made.sessions[0], subject=HOSTILE, label=HOSTILE, reason=HOSTILE)
    made.runs[0] = replace(made.runs[0], reason=HOSTILE, output_path=HOSTILE, signature=HOSTILE)
    made.attempts[0] = replace(made.attempts[0], host=HOSTILE, job_id=HOSTILE, message=HOSTILE)
    made.figures.reports[1] = (Path("/data") / HOSTILE.replace("/", ""),)
    made.figures.problems.append(HOSTILE)
    report = made_up.held(made_up.report(made, title=HOSTILE, log=(HOSTILE,)), "qsiprep", HOSTILE)
    return parts_of(made_up.page(tmp_path / "page.html", report))


@settings(max_examples=25)
@given(some.text(some.characters(exclude_categories=()), min_size=1))
def test_whatever_a_text_is_the_page_has_the_same_elements_and_the_text(value: str) -> None:
    made = made_up.cohort(1)
    before = Parts()
    before.feed(document(made_up.report(made), payload(made_up.report(made), folder=Path("/"))))
    made.sessions[0] = replace(made.sessions[0], subject=value, reason=value)
    made.runs[0] = replace(made.runs[0], reason=value, error=value, output_path=value)
    made.attempts[0] = replace(made.attempts[0], host=value, message=value)
    report = made_up.report(made, title=value)
    after = Parts()
    after.feed(document(report, payload(report, folder=Path("/"))))
    data = json.loads(after.data_text)
    assert (after.tags, data["title"], data["subjects"]) == (before.tags, shown(value), [shown(value)])
    assert shown(value) in data["texts"]
    assert json.dumps(data).isascii()


def test_a_clock_that_jumped_and_runs_of_no_time_make_a_page(tmp_path: Path) -> None:
    made = made_up.cohort(8)
    start = made_up.NOW
    times = [start - timedelta(days=20_000), start, start + timedelta(days=2_900_000)]
    for place, ended in enumerate(times):
        made.runs[place] = replace(made.runs[place], started_at=start, ended_at=ended)
        made.attempts[place] = replace(made.attempts[place], started_at=start, ended_at=ended, max_rss_mb=0.0)
    data = json.loads(parts_of(made_up.page(tmp_path / "page.html", made_up.report(made))).data_text)
    assert data["attempts"]["took"][:3] == [0, 0, 2_900_000 * 86_400]
    assert len(data["flow"]["completed"]["qsiprep"]) < 21_000  # and no day up to the year 9966
    assert sum(data["flow"]["completed"]["bids_conversion"]) == 8


def test_hostile_text_makes_no_element(hostile: Parts) -> None:
    assert "img" not in hostile.tags
    assert hostile.tags.count("script") == 2
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]


def test_hostile_text_comes_through_as_text_with_what_is_not_seen_escaped(hostile: Parts) -> None:
    data = json.loads(hostile.data_text)
    assert data["title"].startswith('</script><img src=x onerror="window.pwned=1">')
    assert "\\u202e\\x1b[31m\\udce9" in data["title"]
    assert data["subjects"][-1] == data["title"]
    assert data["pipelines"][1]["held"] == data["title"]


def test_the_data_hold_no_character_that_html_reads() -> None:
    text = json_for_html({"a": HOSTILE[:-1], "b": [1.5, None]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": HOSTILE[:-1], "b": [1.5, None]}


def test_what_can_not_be_seen_is_shown() -> None:
    assert shown("a\tb\nc\x00\u200f\x85") == "a\tb\nc\\x00\\u200f\\x85"
    assert shown("Größe, 温度") == "Größe, 温度"


def test_the_page_names_no_address_and_its_policy_allows_none(tmp_path: Path) -> None:
    text = made_up.page(tmp_path / "page.html", made_up.report(made_up.cohort(8))).read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in text
    assert "unsafe" not in text.partition("</head>")[0].partition("<style>")[0]
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\ssrc=|@import|url\(|\sstyle=\"|innerHTML|insertAdjacentHTML|\beval\(", text)


def test_every_part_of_the_script_is_in_it() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in PARTS.glob("*.js"))
    assert all("</" not in (PARTS / name).read_text() for name in SCRIPTS)


def test_without_javascript_the_numbers_are_there(tmp_path: Path) -> None:
    text = made_up.page(tmp_path / "page.html", made_up.report(made_up.cohort(8))).read_text(encoding="utf-8")
    summary = text.partition("<noscript>")[2].partition("</noscript>")[0]
    assert '<th scope="row">qsiprep</th><td class="number">7</td>' in summary
    assert made_up.SIGNATURE in summary


class TestData:
    def data(self, made: made_up.Cohort, folder: Path = Path("/page")) -> Any:
        return json.loads(json_for_html(payload(made_up.report(made), folder=folder)))

    def test_cells_lead_to_runs_and_runs_to_texts(self) -> None:
        data = self.data(made_up.cohort(8))
        assert data["sessions"]["states"][1] == "CCCCCCFC"
        place = data["sessions"]["runs"][1][6]
        assert data["texts"][data["runs"]["status"][place]] == "failed"
        assert data["texts"][data["runs"]["signature"][place]] == made_up.SIGNATURE
        assert data["failures"][0]["examples"] == [data["runs"]["id"][place]]

    def test_a_run_took_as_long_as_its_last_attempt_to_the_second(self) -> None:
        made = made_up.cohort(1)
        start = made.attempts[0].started_at
        assert start is not None
        made.attempts[0] = replace(
            made.attempts[0],
            started_at=start.replace(microsecond=900_000),
            ended_at=start + timedelta(seconds=20, microseconds=100_000),
        )
        data = self.data(made)
        assert (data["attempts"]["took"][0], data["runs"]["took"][0]) == (19, 19)

    def test_a_text_is_written_once(self) -> None:
        texts = Texts()
        assert [texts.number(text) for text in ("a", "", "b", "a", None)] == [1, 0, 2, 1, 0]
        assert texts.all == ["", "a", "b"]

    def test_rows_become_columns(self) -> None:
        rows = Columns(("a", "b"))
        rows.add(1, 2)
        rows.add(3, 4)
        assert rows.data() == {"a": [1, 3], "b": [2, 4]}

    def test_of_a_large_cohort_only_telling_attempts_are_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert DETAILED_SESSIONS >= 10_000
        monkeypatch.setattr("neuroflow.report.payload.DETAILED_SESSIONS", 7)
        data = self.data(made_up.cohort(8))
        assert (data["attempts"]["complete"], len(data["attempts"]["run"])) == (False, 1)

    def test_links_are_relative_quoted_and_never_a_scheme(self) -> None:
        folder = Path("/data/reports")
        assert (
            link(Path("/data/derivatives/qsiprep/sub-01.html"), folder=folder) == "./../derivatives/qsiprep/sub-01.html"
        )
        assert link(folder / "javascript:a b#c?.html", folder=folder) == "./javascript%3Aa%20b%23c%3F.html"


class TestWriting:
    def test_a_report_is_replaced_and_anything_else_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        check_target(path, replace=False)
        assert write_page(path, f"<html>{MARK}") == path.stat().st_size
        check_target(path, replace=False)
        path.write_text("<html>somebody's own")
        with pytest.raises(UsageError, match=r"page\.html is there, and is no report"):
            check_target(path, replace=False)
        check_target(path, replace=True)
        assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

    def test_a_folder_and_a_missing_folder_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is a folder"):
            check_target(tmp_path, replace=True)
        with pytest.raises(UsageError, match="is not there"):
            check_target(tmp_path / "missing" / "page.html", replace=True)

    def test_a_dangling_link_is_something_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").symlink_to(tmp_path / "gone")
        with pytest.raises(UsageError, match="is no report"):
            check_target(tmp_path / "page.html", replace=False)

    def test_what_can_not_be_written_is_named_and_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").mkdir()
        with pytest.raises(UsageError, match=r"page\.html can't be written: Is a directory"):
            write_page(tmp_path / "page.html", "x")
        assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

    def test_the_umask_says_who_may_read_it(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_page(tmp_path / "page.html", "x")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o640
