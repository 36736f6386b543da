"""The page for others: nothing of what tells who or where is in it, and the numbers are right all the same."""

from __future__ import annotations

import json
import random
import stat
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from neuroflow.adapters.key_figures import RegionMeans
from neuroflow.domain import AttemptStatus, RunStatus
from neuroflow.errors import UsageError
from neuroflow.report.anonymous import anonymous
from neuroflow.report.gather import Report
from neuroflow.report.payload import payload
from neuroflow.report.provenance import ToolUse
from neuroflow.report.pseudonyms import numbers_of, the_key
from tests.report import made_up
from tests.report.test_page import parts_of

KEY = b"k" * 32
KEPT = {"pipeline", "status", "failure", "signature", "neuroflow", "python", "revision", "config_digest"}
LEAK = "leak-"
_Fact = TypeVar("_Fact")


def marked(fact: _Fact, **but: Any) -> _Fact:
    """Return a fact with a mark in each text of it that may come from outside, whatever fields it has."""
    texts = {
        one.name: f"{LEAK}{one.name}/{random.random()}"  # noqa: S311
        for one in fields(fact)  # type: ignore[arg-type]
        if "str" in str(one.type) and "tuple" not in str(one.type) and one.name not in KEPT
    }
    return replace(fact, **(texts | but))  # type: ignore[type-var]


@pytest.fixture
def made() -> made_up.Cohort:
    """A cohort in which every text, and each subject's and session's label, has the mark."""
    made = made_up.cohort(30)
    made.sessions = [marked(one, subject=f"{LEAK}{one.subject}", label=f"{LEAK}a") for one in made.sessions]
    made.runs = [marked(one, **({"resolution": ""} if one.failure else {})) for one in made.runs]  # else it is closed
    made.attempts = [marked(one, signature=one.signature) for one in made.attempts]
    made.figures.reports[1] = (Path(f"/{LEAK}folder/sub-{LEAK}00001.html"),)
    made.figures.problems.append(f"{LEAK}table.tsv is cut short")
    made.figures.unreadable = 1
    for place in (2, 9):
        made.figures.regions.add(place, RegionMeans("fa", "FA per region", (("1", "left"),), (place / 10,)))
    return made


def for_others(made: made_up.Cohort) -> Report:
    report = made_up.held(made_up.report(made, log=(f"{LEAK}log",)), "qsiprep", f"{LEAK}reason")
    used = ToolUse("qsiprep", f"{LEAK}version", f"/{LEAK}images/qsiprep.sif", f"{LEAK}identity", 7)
    report = replace(
        report,
        wish=replace(report.wish, made_by=f"{LEAK}user", subjects=(made.sessions[0].subject,), anonymous=True),
        provenance=replace(
            marked(report.provenance), config_files=(f"/{LEAK}config.yaml",), tools=(*report.provenance.tools, used)
        ),
    )
    return anonymous(report, numbers_of([one.subject for one in made.sessions], key=KEY))


def test_no_label_path_user_host_job_or_message_is_anywhere_in_the_page(made: made_up.Cohort, tmp_path: Path) -> None:
    plain = made_up.page(tmp_path / "plain.html", made_up.report(made, log=(f"{LEAK}log",)))
    assert plain.read_text(encoding="utf-8").count(LEAK) > 100  # the marks do reach a page
    page = made_up.page(tmp_path / "page.html", for_others(made))
    assert LEAK not in page.read_text(encoding="utf-8")
    data = parts_of(page).data_text
    assert LEAK not in json.dumps(json.loads(data), ensure_ascii=False)
    assert "/state/attempts" not in data
    assert '"links":{}' in data


def test_it_tells_no_time_of_a_run(made: made_up.Cohort) -> None:
    data: Any = payload(for_others(made), folder=Path("/page"))
    times = [data[rows][name] for rows in ("runs", "attempts") for name in ("started", "ended")]
    assert {value for column in [*times, data["runs"]["updated"]] for value in column} == {None}
    assert (data["failures"][0]["firstAt"], data["failures"][0]["lastAt"]) == (None, None)
    assert min(took for took in data["runs"]["took"] if took is not None) >= 1800  # how long it took stays


def test_states_figures_and_usage_stay_with_their_subjects(made: made_up.Cohort) -> None:
    before: Any = payload(made_up.report(made), folder=Path("/page"))
    after: Any = payload(for_others(made), folder=Path("/page"))
    numbers = numbers_of([one.subject for one in made.sessions], key=KEY)
    place_of = {place: after["subjects"].index(str(numbers[one.subject])) for place, one in enumerate(made.sessions)}
    for column in range(len(before["pipelines"])):
        assert {place_of[place]: state for place, state in enumerate(before["sessions"]["states"][column])} == dict(
            enumerate(after["sessions"]["states"][column])
        )
    for kind in ("figures", "regions"):
        for old, new in zip(before[kind].get("kinds", []), after[kind].get("kinds", []), strict=True):
            moved = {place_of[place]: value for place, value in zip(old["sessions"], old["values"], strict=True)}
            assert moved == dict(zip(new["sessions"], new["values"], strict=True))
    assert dict(zip(*(after["regions"]["atlases"][0][key] for key in ("sessions", "values")), strict=True)) == {
        place_of[2]: [0.2],
        place_of[9]: [0.9],
    }
    assert after["usage"] == before["usage"]
    assert after["flow"] == before["flow"]
    assert after["pipelines"][1]["counts"] == before["pipelines"][1]["counts"]


def test_neither_numbers_nor_rows_nor_run_ids_follow_the_labels(made: made_up.Cohort) -> None:
    data: Any = payload(for_others(made), folder=Path("/page"))
    assert data["subjects"] == [str(number) for number in range(1, 31)]
    assert data["sessions"]["ids"] == list(range(1, 31))
    assert data["runs"]["id"] == list(range(1, len(made.runs) + 1))
    assert data["runs"]["subject"] == sorted(data["runs"]["subject"])
    labels = sorted(numbers_of((one.subject for one in made.sessions), key=KEY).items(), key=lambda item: item[1])
    assert [label for label, _ in labels] != sorted(label for label, _ in labels)


def test_a_failure_leads_to_the_runs_of_this_page(made: made_up.Cohort) -> None:
    data: Any = payload(for_others(made), folder=Path("/page"))
    group = data["failures"][0]
    places = [data["runs"]["id"].index(number) for number in group["examples"]]
    assert {data["texts"][data["runs"]["status"][place]] for place in places} == {"failed"}
    assert (group["signature"], group["failure"], group["waiting"]) == (made_up.SIGNATURE, "application", 4)


def test_sessions_are_numbered_within_a_subject_in_their_order() -> None:
    made = made_up.Cohort()
    for subject, session in (("b", "2024"), ("a", "10"), ("a", "9"), ("b", "2023")):
        made.add_session(subject, session)
    report = anonymous(made_up.report(made), {"a": 2, "b": 1})
    assert [(one.subject, one.label) for one in report.cohort.sessions] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
        ("2", "2"),
    ]


def test_a_run_whose_subject_came_after_the_sessions_were_read_is_left_out() -> None:
    made = made_up.cohort(2)
    stray = replace(made.runs[0], id=99, subject_id=99, session_id=99)
    made.runs.append(stray)
    made.attempts.append(replace(made.attempts[0], id=99, run_id=99, status=AttemptStatus.FAILED))
    made.runs.append(replace(stray, id=100, status=RunStatus.FAILED))
    report = anonymous(made_up.report(made), {"00001": 1, "00002": 2})
    assert {run.subject_id for run in report.history.runs} == {1, 2}


class TestKey:
    def test_it_is_made_once_and_is_this_users_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        assert the_key(path) == the_key(path) == path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [one.name for one in tmp_path.iterdir()] == ["key"]

    def test_with_it_numbers_stay_and_without_it_they_can_not_be_found_out(self) -> None:
        labels = [f"{number:03}" for number in range(50)]
        assert numbers_of(labels, key=KEY) == numbers_of(reversed(labels), key=KEY)
        assert numbers_of(labels, key=KEY) != numbers_of(labels, key=b"j" * 32)
        assert sorted(numbers_of(labels, key=KEY).values()) == list(range(1, 51))

    def test_one_that_is_cut_short_or_can_not_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"short")
        with pytest.raises(UsageError, match=r"/key, has 5 bytes, not 32"):
            the_key(tmp_path / "key")
        with pytest.raises(UsageError, match=r"/missing/key, can't be made or read: No such file"):
            the_key(tmp_path / "missing" / "key")
