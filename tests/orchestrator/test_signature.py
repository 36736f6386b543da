"""Failures that are alike share a signature, and others don't."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroflow.domain import FailureClass, Verdict, VerdictKind
from neuroflow.orchestrator.signature import HASH_DIGITS, LONGEST_TEXT, code_of, error_text, sign, telling_line
from tests.orchestrator.builders import attempt

TRACEBACK = """\
260301-12:00:01,123 nipype.workflow INFO:
\t [Node] Setting-up "qsiprep_26_1_wf"
Traceback (most recent call last):
  File "/opt/qsiprep/run.py", line 12, in main
RuntimeError: No DWI images found for participant P04x
/opt/lib/resource_tracker.py:224: UserWarning: There appear to be 1 leaked semaphore objects, missing clean-up
"""


def code(error: str, *names: str, pipeline: str = "qsiprep", failure: FailureClass = FailureClass.APPLICATION) -> str:
    return sign(pipeline, failure, error, names=names).code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit code 1: shape (64, 64, 12)", "exit code 1: shape (96, 96, 30)"),
        ("exit code 1: 3 volumes", "exit code 2: 3 volumes"),
        ("took 1.5e-3 s", "took 12,5 s"),
        ("offset -3", "offset 3"),
        ("missing: sub-01/ses-a/dwi/x.nii.gz", "missing: sub-P04x/ses-02/dwi/x.nii.gz"),
        ("no file /data/bids/sub-01/a.nii", "no file /scratch/x/b.nii"),
        ("no file '/data/my study/a.nii'", "no file '/data/b'"),
        ("at https://example.org/a?b=1", "at https://example.org/c"),
        ("object at 0x7f3a00", "object at 0xffff"),
        ("run 5f2e9c1a-1111-2222-3333-123456789abc", "run 00000000-1234-2222-3333-abcdefabcdef"),
        ("commit 9f3c2ab", "commit 0a1b2c3d4e5f"),
        ("crash-20260301-120102-root.txt", "crash-20270415-235959-root.txt"),
        ("2026-03-01 12:00:01,5 stopped", "2027-04-15T23:59:59Z stopped"),
        ("260301-12:00:01,123 stopped", "270415-23:59:59,999 stopped"),
        ("job nf-qsiprep-12-0123456789ab", "job nf-qsiprep-7-ffffffffffff"),
        ("\x1b[31mfailed\x1b[0m", "failed"),
        ("failed\n  at once", "failed at  once"),
        ("its volumes 1, 2, 3 are bad", "its volumes 7 are bad"),
    ],
)
def test_what_differs_by_chance_does_not_count(one: str, other: str) -> None:
    assert code(one) == code(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit code 1: no T1w", "exit code 1: no T2w"),
        ("no dwi found", "no fmap found"),
        ("missing: dwi/a.nii.gz", "missing: anat/a.nii.gz"),
        ("missing b0 image", "missing 3D image"),
    ],
)
def test_what_tells_failures_apart_counts(one: str, other: str) -> None:
    assert code(one) != code(other)


def test_pipeline_and_failure_class_count() -> None:
    codes = {code("x"), code("x", pipeline="qsirecon"), code("x", failure=FailureClass.NO_OUTPUT)}
    assert len(codes) == 3


def test_a_bare_label_is_known_by_the_attempts_own_names() -> None:
    assert code("No T1w images found for participant P04x", "sub-P04x") == code(
        "No T1w images found for participant 0042", "sub-0042"
    )
    assert code("session baseline is empty", "ses-baseline") == code("session followup is empty", "ses-followup")


def test_a_short_label_leaves_the_words_alone() -> None:
    assert sign("qsiprep", FailureClass.APPLICATION, "a file is not pre", names=["sub-a", "ses-pre"]).text == (
        "a file is not pre"
    )


def test_a_host_is_known_by_the_attempts_own_names() -> None:
    assert code("node gpu-left is gone", "gpu-left") == code("node cn042.example.org is gone", "cn042.example.org")


def test_the_text_is_for_people_and_the_code_is_short() -> None:
    made = sign("qsiprep", FailureClass.APPLICATION, "exit code 1: no /data/x in sub-01 of cn7", names=["cn7"])
    assert made.text == "exit code <n>: no <path> in sub-<label> of <host>"
    assert len(made.code) == HASH_DIGITS
    assert int(made.code, 16) >= 0


def test_a_name_that_looks_like_a_placeholder_does_no_harm() -> None:
    assert sign("q", FailureClass.SITE, "see /a/b and path", names=["sub-path"]).text == "see <path> and <label>"


def test_a_long_text_is_cut_after_it_was_cleaned() -> None:
    long = "word " * 200
    assert code(f"/a/{'x' * 900} {long}") == code(f"/b {long}")
    assert len(sign("q", FailureClass.SITE, long).text) == LONGEST_TEXT


_LABELS = st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True)
_PATHS = st.lists(st.from_regex(r"[A-Za-z0-9_.+-]{1,10}", fullmatch=True), min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)


@given(
    st.tuples(_LABELS, _LABELS),
    st.tuples(_LABELS, _LABELS),
    st.tuples(_PATHS, _PATHS),
    st.tuples(st.integers(0), st.floats(0, 1e6)),
)
def test_subject_session_path_and_number_never_count(
    subjects: tuple[str, str], sessions: tuple[str, str], paths: tuple[str, str], numbers: tuple[int, float]
) -> None:
    texts = [
        f"exit code {number}: RuntimeError: sub-{subject}_ses-{session}_dwi of {path} has {number} volumes"
        for subject, session, path, number in zip(subjects, sessions, paths, numbers, strict=True)
    ]
    assert len({code(text) for text in texts}) == 1


@given(st.text(max_size=300))
def test_any_text_can_be_signed(text: str) -> None:
    assert len(code(text, text, f"sub-{text}")) == HASH_DIGITS


class TestTellingLine:
    def test_the_error_is_found_among_the_noise(self) -> None:
        assert telling_line(TRACEBACK) == "RuntimeError: No DWI images found for participant P04x"

    def test_without_an_error_it_is_the_last_line(self) -> None:
        assert telling_line("a\n b \n\n") == "b"

    def test_of_nothing_it_is_nothing(self) -> None:
        assert telling_line("\n \r\n") == ""

    def test_no_errors_are_no_error(self) -> None:
        assert telling_line("OSError: disk\nfinished with 0 errors") == "OSError: disk"


class TestAttempts:
    def verdict(self, reason: str, failure: FailureClass = FailureClass.APPLICATION) -> Verdict:
        return Verdict(VerdictKind.FAILED, reason, failure=failure, exit_code=1, host="node7")

    def test_the_telling_line_stands_in_for_the_last_one(self) -> None:
        last = TRACEBACK.strip().splitlines()[-1]
        assert error_text(self.verdict(f"exit code 1: {last}"), TRACEBACK) == (
            "exit code 1: RuntimeError: No DWI images found for participant P04x"
        )

    def test_a_reason_of_another_kind_is_kept(self) -> None:
        verdict = self.verdict("exit code 0, but the tool left crash files: a.txt")
        assert error_text(verdict, TRACEBACK) == verdict.reason
        timeout = self.verdict("SLURM says TIMEOUT (it had 60 min)", FailureClass.TIMEOUT)
        assert error_text(timeout, TRACEBACK) == timeout.reason

    def test_a_long_last_line_was_cut_in_the_reason(self) -> None:
        line = "Error: " + "x" * 400
        assert error_text(self.verdict(f"exit code 1: {line[:300]}"), f"{line}\n") == f"exit code 1: {line}"

    def test_two_attempts_of_different_subjects_share_one(self) -> None:
        one, other = attempt(), replace(attempt(), scope="sub-P04x", token="nf-qsiprep-9-bb", host="gpu-left")
        codes = {
            code_of(one, self.verdict("exit code 1: no images of 01 on node1"), stderr_tail=""),
            code_of(other, self.verdict("exit code 1: no images of P04x on gpu-left"), stderr_tail=""),
        }
        assert len(codes) == 1

    @pytest.mark.parametrize("failure", [FailureClass.PREEMPTED, FailureClass.CANCELLED])
    def test_what_is_nobodys_fault_has_none(self, failure: FailureClass) -> None:
        assert code_of(attempt(), self.verdict("stopped", failure)) == ""
