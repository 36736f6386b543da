"""A check that breaks or hangs is a finding itself, and the others go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from neuroflow.doctor.check import Check, Context, Finding, error, skipped, well
from neuroflow.doctor.report import blocks
from neuroflow.doctor.runner import run_checks
from tests.doctor.conftest import Patient, bad

WRONG = error("thing-wrong", "a thing is wrong", why="it matters", mend="mend {thing}")


def broken(_context: Context) -> Iterator[Finding]:
    yield well("so far")
    raise RuntimeError("redis://:geheim@host:1/0 said no")


def fine(_context: Context) -> Iterator[Finding]:
    yield well("all is well")


def wrong(_context: Context) -> Iterator[Finding]:
    yield WRONG.seen("the thing", thing="x")


def check(name: str, run: object = fine, **changes: object) -> Check:
    return Check(name, "topic", "a thing", run, **{"kinds": (WRONG,), "needs": (), **changes})  # type: ignore[arg-type]


@pytest.mark.provokes("check-crashed")
def test_a_check_that_breaks_is_an_error_and_the_next_one_runs(patient: Patient) -> None:
    found = patient.look("a", "b", checks=[check("a", broken), check("b")])
    assert [(one.code, one.severity) for one in found] == [("check-crashed", "error"), ("b", "ok")]
    assert "geheim" not in found[0].what
    assert "--only a" in found[0].mend


@pytest.mark.provokes("check-hung")
def test_a_check_that_hangs_is_left_behind(patient: Patient) -> None:
    release = threading.Event()

    def hanging(_context: Context) -> Iterator[Finding]:
        release.wait()
        yield well("at last")

    try:
        found = patient.look("a", "b", checks=[check("a", hanging, seconds=0.05), check("b")])
    finally:
        release.set()
    assert [one.code for one in found] == ["check-hung", "b"]


def test_what_needs_a_check_with_an_error_is_skipped_and_what_needs_that_too(patient: Patient) -> None:
    checks = [check("a", wrong), check("b", needs=("a",)), check("c", needs=("b",)), check("d")]
    found = patient.look("a", "b", "c", "d", checks=checks)
    assert [one.severity for one in found] == ["error", "skipped", "skipped", "ok"]
    assert [one.what for one in found[1:3]] == ["not looked at: `a` has to be mended first"] * 2


def test_what_a_check_needs_is_asked_though_it_is_not_reported(patient: Patient) -> None:
    found = patient.look("b", checks=[check("a", wrong), check("b", needs=("a",))])
    assert [one.severity for one in found] == ["skipped"]


def test_a_check_that_was_skipped_for_its_own_reasons_does_not_stop_others(patient: Patient) -> None:
    nothing = check("a", lambda context: [skipped("not here")])
    assert [one.severity for one in patient.look("a", "b", checks=[nothing, check("b", needs=("a",))])] == [
        "skipped",
        "ok",
    ]


def test_a_finding_that_a_check_does_not_declare_is_an_error_of_the_check(patient: Patient) -> None:
    assert bad(patient.look("a", checks=[check("a", wrong, kinds=())])) == ["check-crashed"]


def test_debug_passes_the_error_on(patient: Patient) -> None:
    with pytest.raises(RuntimeError, match="said no"):
        list(run_checks([check("a", broken)], patient.context(), raising=True))


def test_a_finding_bears_the_check_the_topic_and_the_host(patient: Patient) -> None:
    [found] = run_checks([check("a", wrong)], patient.context(), host="n1")
    assert (found.check, found.topic, found.host, found.mend) == ("a", "topic", "n1", "mend x")


NO_IMAGE = error("image-none", "no image", why="no run", mend="set pipelines.{name}.image, or {other}")


def seen(name: str, what: str = "no image", other: str = "wait") -> Finding:
    return NO_IMAGE.seen(f"{name}: {what}", name=name, other=other)


def test_one_cause_of_several_pipelines_is_told_once() -> None:
    (block,) = blocks([seen("qsiprep"), seen("qsirecon"), seen("qsiparc", "its image is cut")], here="")
    assert block == [
        "ERROR image-none",
        "  what  qsiprep: no image (the same for qsirecon)",
        "  what  qsiparc: its image is cut",
        "  why   no run",
        "  mend  set pipelines.qsiprep.image, or wait (the same for qsirecon, qsiparc)",
    ]


def test_files_that_are_named_like_pipelines_stay_apart() -> None:
    (block,) = blocks([seen(name, f"/images/{name}.sif is cut") for name in ("qsiprep", "qsirecon")], here="")
    assert sum(line.startswith("  what") for line in block) == 2
