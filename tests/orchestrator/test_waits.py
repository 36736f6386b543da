"""What waits is told once for all that wait alike."""

from __future__ import annotations

import json
from dataclasses import asdict

from neuroflow.domain.overview import WaitGroup, WaitKind
from neuroflow.orchestrator.plan import Wait
from neuroflow.orchestrator.waits import group_waits, groups_of


def test_what_differs_only_by_its_scope_or_time_is_one_group() -> None:
    about = "is tried again later, after a failure of class timeout"
    retries = [Wait("qsiprep", f"sub-{n}", f"next attempt at 12:0{n}", WaitKind.RETRY, about) for n in range(5)]
    limit = Wait("qsiprep", "sub-9", "workflow.max_concurrent.qsiprep is 4", WaitKind.LIMIT)
    assert group_waits([limit, *retries]) == [
        WaitGroup("qsiprep", WaitKind.RETRY, about, 5, ("sub-0", "sub-1", "sub-2")),
        WaitGroup("qsiprep", WaitKind.LIMIT, "workflow.max_concurrent.qsiprep is 4", 1, ("sub-9",)),
    ]


def test_pipelines_and_kinds_are_kept_apart() -> None:
    waits = [Wait("a", "s", "same words", WaitKind.HOLD), Wait("b", "s", "same words", WaitKind.HOLD)]
    assert len(group_waits([*waits, Wait("a", "s", "same words", WaitKind.QUOTA)])) == 3


def test_what_was_kept_is_read_again() -> None:
    groups = group_waits([Wait("a", "sub-1", "x", WaitKind.MAINTENANCE), Wait("b", "sub-2", "y", WaitKind.SETTLING)])
    kept = json.loads(json.dumps({"groups": [asdict(group) for group in groups]}))
    assert groups_of(kept) == groups
    assert groups_of({}) == []
