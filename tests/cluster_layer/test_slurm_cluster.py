"""What sbatch, squeue and sacct answer becomes a job id, a refusal, a doubt or a sighting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.folders import FileLook, LocalFolders
from neuroflow.cluster.login_node import LoginNode
from neuroflow.cluster.queue_query import jobs_command, squeue_command
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.cluster.verdict import judge
from neuroflow.domain import AttemptRecord, AttemptStatus, JobState, VerdictKind
from neuroflow.errors import CommandError, HostUnreachable, SubmissionRefused, SubmissionUncertain
from tests.cluster_layer.builders import NOW, attempt, config_in, exit_record, python_job
from tests.cluster_layer.fakes import Answer, FakeTransport, ended, hung

FAILED = "sbatch: error: Batch job submission failed: "


def cluster_with(root: Path, transport: FakeTransport, **cluster: object) -> SlurmCluster:
    config = config_in(root, kind="slurm", **cluster)
    return SlurmCluster(config, transport=transport, clock=lambda: NOW, sleep=lambda _: None)


@pytest.mark.parametrize("text", ["123\n", "123;west\n", "Welcome! job 999 is yours\n\n123\n"])
def test_the_job_id_is_the_last_line(tmp_path: Path, text: str) -> None:
    cluster = cluster_with(tmp_path, FakeTransport(sbatch=text))
    assert cluster.submit(python_job(tmp_path, "pass")) == "123"


def test_the_payload_lies_in_the_folder_before_sbatch_is_called(tmp_path: Path) -> None:
    job = python_job(tmp_path, "pass")

    def sbatch(command: tuple[str, ...]) -> Answer:
        names = {path.name for path in Path(job.folder).iterdir()}
        assert {"payload.pkl", "job.json", "submission.sh"} <= names
        assert command == ("sbatch", "--parsable", f"{job.folder}/submission.sh")
        return ended(0, stdout="5\n")

    assert cluster_with(tmp_path, FakeTransport(sbatch=sbatch)).submit(job) == "5"


@pytest.mark.parametrize(
    "stderr",
    [
        FAILED + "Invalid account or account/partition combination specified",
        FAILED + "Requested node configuration is not available",
        "sbatch: error: Invalid --time specification",
        "sbatch: fatal: unable to open file",
    ],
)
def test_a_permanent_refusal(tmp_path: Path, stderr: str) -> None:
    with pytest.raises(SubmissionRefused, match="refused") as caught:
        cluster_with(tmp_path, FakeTransport(sbatch=ended(1, stderr=stderr))).submit(python_job(tmp_path, "pass"))
    assert not caught.value.transient


@pytest.mark.parametrize(
    "stderr",
    [
        FAILED + "Slurm temporarily unable to accept job, sleeping and retrying",
        FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        FAILED + "Unable to contact slurm controller (connect failure)",
        FAILED + "Rate limit exceeded, please retry later",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + FAILED + "Job violates accounting/QOS policy",
    ],
)
def test_a_refusal_that_may_pass(tmp_path: Path, stderr: str) -> None:
    with pytest.raises(SubmissionRefused) as caught:
        cluster_with(tmp_path, FakeTransport(sbatch=ended(1, stderr=stderr))).submit(python_job(tmp_path, "pass"))
    assert caught.value.transient


@pytest.mark.parametrize(
    "answer",
    [
        hung(),
        ended(1, stderr=FAILED + "Socket timed out on send/recv operation"),
        ended(1, stderr=FAILED + "Unable to contact slurm controller (receive failure)"),
        ended(-9),
        ended(0, stdout=""),
        ended(0, stdout="Submitted batch job 12\n"),
        ended(0, stdout="12\nBye!\n"),
        ended(1, stdout="12\n", stderr="wrapper: log server is away"),
        ended(1, stderr="wrapper: log server is away"),
    ],
)
def test_no_usable_answer_is_a_doubt(tmp_path: Path, answer: Answer) -> None:
    with pytest.raises(SubmissionUncertain):
        cluster_with(tmp_path, FakeTransport(sbatch=answer)).submit(python_job(tmp_path, "pass"))


def test_a_missing_sbatch_is_a_permanent_refusal(tmp_path: Path) -> None:
    missing = CommandError("`sbatch` can't be started", command=("sbatch",), exit_code=127)
    with pytest.raises(SubmissionRefused) as caught:
        cluster_with(tmp_path, FakeTransport(sbatch=missing)).submit(python_job(tmp_path, "pass"))
    assert not caught.value.transient


def test_an_interruption_passes_through_unchanged(tmp_path: Path) -> None:
    class SoftTimeLimitExceeded(Exception):
        pass

    def sbatch(command: tuple[str, ...]) -> Answer:
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        cluster_with(tmp_path, FakeTransport(sbatch=sbatch)).submit(python_job(tmp_path, "pass"))


# --- sightings ---


def squeue_line(job_id: str, word: str, name: str) -> str:
    return "\x1f".join((job_id, word, "None", "N/A", "N/A", "lab", "normal", name)) + "\n"


def sacct_line(job_id: str, word: str, name: str) -> str:
    return "\x1f".join((job_id, word, "0:0", "", "60", "1795501940", "1795501950", "1795502010", "n1", "", name)) + "\n"


def test_one_squeue_and_one_sacct_answer_for_all(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue=squeue_line("1", "RUNNING", "a") + squeue_line("2", "TIMEOUT", "b"),
        sacct=sacct_line("2", "TIMEOUT", "b") + sacct_line("3", "FAILED", "c"),
    )
    attempts = [attempt(token=token, job_id=str(n), folder=str(tmp_path / token)) for n, token in enumerate("abcd", 1)]
    seen = cluster_with(tmp_path, transport).sight(attempts)
    assert transport.programs() == ["squeue", "sacct"]
    assert transport.calls[1][-1] == "2,3,4"
    assert seen["a"].queue is not None
    assert (seen["a"].queue.state, seen["a"].accounting_answered) == (JobState.RUNNING, False)
    assert seen["b"].accounting is not None
    assert seen["b"].accounting.state is JobState.TIMEOUT
    assert (seen["d"].queue_answered, seen["d"].accounting_answered) == (True, True)
    assert (seen["d"].queue, seen["d"].accounting) == (None, None)


def test_nothing_is_asked_about_nothing(tmp_path: Path) -> None:
    transport = FakeTransport()
    assert cluster_with(tmp_path, transport).sight([]) == {}
    assert transport.calls == []


def test_published_attempts_are_not_asked_for_in_accounting(tmp_path: Path) -> None:
    (tmp_path / "exit.json").write_text(json.dumps({"schema": 1, **asdict(exit_record())}))
    transport = FakeTransport(squeue="")
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])
    assert seen["nf-1"].exit_record == exit_record()
    assert transport.programs() == ["squeue"]


@pytest.mark.parametrize(
    "answer", [hung(), ended(1, stderr="slurm_load_jobs error: Unable to contact slurm controller")]
)
def test_a_silent_squeue_is_told_and_sacct_left_in_peace(tmp_path: Path, answer: Answer) -> None:
    transport = FakeTransport(squeue=answer)
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert (seen.queue_answered, seen.accounting_answered) == (False, False)
    assert transport.programs() == ["squeue"]


def test_folders_that_can_not_be_asked_are_silence_and_no_missing_records(tmp_path: Path) -> None:
    class Away(LocalFolders):
        def look(self, folders: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FileLook]]:
            raise HostUnreachable("the login node can't be reached")

    transport = FakeTransport(squeue="", sacct="")
    node = LoginNode(transport, Away(), "us123")
    cluster = SlurmCluster(config_in(tmp_path, kind="slurm"), login_node=node, clock=lambda: NOW)
    one = attempt(folder=str(tmp_path))
    seen = cluster.sight([one])[one.token]
    assert (seen.queue_answered, seen.all_answered, seen.job_id) == (False, False, one.job_id)
    assert judge(one, seen, now=NOW, grace_seconds=0).kind is VerdictKind.PENDING, "as it was"
    assert transport.calls == [squeue_command("us123")], "by the account's name on the cluster"


def test_a_silent_sacct_is_told(tmp_path: Path) -> None:
    seen = cluster_with(tmp_path, FakeTransport(squeue="", sacct=hung())).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert (seen.queue_answered, seen.accounting_answered, seen.accounting_silent) == (True, False, True)


def test_a_site_without_accounting_is_not_asked_for_it(tmp_path: Path) -> None:
    transport = FakeTransport(squeue="")
    seen = cluster_with(tmp_path, transport, accounting=False).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert transport.programs() == ["squeue"]
    assert (seen.accounting_answered, seen.accounting_silent, seen.all_answered) == (False, False, True)


@pytest.mark.parametrize(
    ("accounting", "word", "found"), [(True, "FAILED", True), (False, "FAILED", True), (True, "TIMEOUT", False)]
)
def test_the_log_of_a_job_that_slurm_only_calls_failed_is_searched(
    tmp_path: Path, accounting: bool, word: str, found: bool
) -> None:
    (tmp_path / "17_0_log.err").write_text("slurmstepd: error: Exceeded job memory limit\n")
    queue = "" if accounting else squeue_line("17", word, "nf-1")
    transport = FakeTransport(squeue=queue, sacct=sacct_line("17", word, "nf-1"))
    seen = cluster_with(tmp_path, transport, accounting=accounting).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert seen.over_memory == ("Exceeded job memory limit" if found else "")


def test_a_job_id_that_was_given_out_again_is_not_ours(tmp_path: Path) -> None:
    transport = FakeTransport(squeue=squeue_line("17", "RUNNING", "other"), sacct=sacct_line("17", "FAILED", "other"))
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert (seen.queue, seen.accounting) == (None, None)


def test_an_attempt_without_a_job_id_is_asked_for_by_name(tmp_path: Path) -> None:
    transport = FakeTransport(squeue="", sacct=sacct_line("9", "COMPLETED", "nf-1"))
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path), job_id=None)])["nf-1"]
    assert transport.calls[1][-2:] == ("--name", "nf-1")
    assert seen.accounting is not None
    assert seen.accounting.job_id == "9"


def test_the_job_that_holds_the_claim_speaks_for_the_attempt(tmp_path: Path) -> None:
    claim.take(tmp_path, "18")
    transport = FakeTransport(
        squeue=squeue_line("17", "FAILED", "nf-1") + squeue_line("18", "RUNNING", "nf-1"), sacct=""
    )
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert seen.queue is not None
    assert (seen.queue.job_id, seen.queue.state) == ("18", JobState.RUNNING)


def test_a_twin_that_came_too_late_does_not_speak_for_the_attempt(tmp_path: Path) -> None:
    claim.take(tmp_path, "17")
    transport = FakeTransport(
        squeue=squeue_line("17", "FAILED", "nf-1") + squeue_line("18", "PENDING", "nf-1"), sacct=""
    )
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert seen.queue is not None
    assert seen.queue.job_id == "17"


def test_while_nobody_holds_the_claim_a_living_twin_speaks_for_the_attempt(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue=squeue_line("17", "CANCELLED", "nf-1") + squeue_line("18", "PENDING", "nf-1"), sacct=""
    )
    seen = cluster_with(tmp_path, transport).sight([attempt(folder=str(tmp_path))])["nf-1"]
    assert seen.queue is not None
    assert seen.queue.job_id == "18"


# --- elements of arrays ---


def element(root: Path, index: int, **changes: Any) -> AttemptRecord:
    token = f"nf-{index}"
    job_id = f"605_{index}"
    made = attempt(token=token, job_id=job_id, folder=str(root / token), array_token="nf-array", array_index=index)
    return replace(made, **changes)


def test_each_element_has_its_own_row_of_the_arrays_name(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue=squeue_line("605_1", "RUNNING", "nf-array") + squeue_line("605_11", "PENDING", "nf-array"),
        sacct=sacct_line("605_2", "TIMEOUT", "nf-array") + sacct_line("605_[3-4]", "CANCELLED by 0", "nf-array"),
    )
    seen = cluster_with(tmp_path, transport).sight([element(tmp_path, index) for index in (1, 2, 4, 5, 11)])
    queued = {token: one.queue.state for token, one in seen.items() if one.queue is not None}
    accounted = {token: one.accounting.state for token, one in seen.items() if one.accounting is not None}
    assert queued == {"nf-1": JobState.RUNNING, "nf-11": JobState.PENDING}
    assert accounted == {"nf-2": JobState.TIMEOUT, "nf-4": JobState.CANCELLED}
    assert transport.calls[1][-2:] == ("-j", "605")


def test_an_element_whose_id_was_lost_is_found_by_the_arrays_name_and_its_index(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue=squeue_line("605_1", "RUNNING", "nf-array"), sacct=sacct_line("605_2", "COMPLETED", "nf-array")
    )
    seen = cluster_with(tmp_path, transport).sight([element(tmp_path, index, job_id=None) for index in (1, 2, 3)])
    assert {token: one.job_id for token, one in seen.items()} == {"nf-1": "605_1", "nf-2": "605_2", "nf-3": None}
    assert all(one.all_answered for one in seen.values())
    assert transport.calls[1][-2:] == ("--name", "nf-array")


def test_an_element_is_never_cancelled_by_the_name_that_its_siblings_bear(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue=squeue_line("605_1", "RUNNING", "nf-array")
        + squeue_line("605_2", "PENDING", "nf-array")
        + squeue_line("605_3", "COMPLETED", "nf-array"),
        scancel="",
    )
    lost = [element(tmp_path, index, job_id=None) for index in (2, 3, 4)]
    cluster_with(tmp_path, transport).cancel([element(tmp_path, 7), *lost])
    assert [call for call in transport.calls if call[0] == "scancel"] == [("scancel", "605_7"), ("scancel", "605_2")]


def test_where_squeue_is_silent_an_element_without_an_id_is_not_cancelled(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        cluster_with(tmp_path, FakeTransport(squeue=hung())).cancel([element(tmp_path, 2, job_id=None)])


def test_a_revoked_claim_tells_that_a_job_which_nobody_lists_never_ran(tmp_path: Path) -> None:
    one, other, listed = (element(tmp_path, index) for index in (1, 2, 3))
    transport = FakeTransport(squeue=squeue_line("605_3", "PENDING", "nf-array"), sacct="")
    cluster = cluster_with(tmp_path, transport)
    assert cluster.revoke(one)
    assert cluster.revoke(listed)
    seen = cluster.sight([one, other, listed])
    assert {token: sighting.revoked for token, sighting in seen.items()} == {
        "nf-1": True,
        "nf-2": False,
        "nf-3": False,
    }


# --- one round, one call each ---


def test_lost_and_known_ids_share_one_call_of_sacct(tmp_path: Path) -> None:
    transport = FakeTransport(
        squeue="",
        sacct=sacct_line("1", "FAILED", "a") + sacct_line("2", "TIMEOUT", "b") + sacct_line("3", "FAILED", "x"),
    )
    one = attempt(token="a", job_id="1", folder=str(tmp_path / "a"))
    seen = cluster_with(tmp_path, transport).sight([one, replace(one, token="b", job_id=None, folder="/nowhere")])
    assert transport.programs() == ["squeue", "sacct"]
    assert transport.calls[1][-2] == "-E"
    words = {token: sighting.accounting and sighting.accounting.word for token, sighting in seen.items()}
    assert words == {"a": "FAILED", "b": "TIMEOUT"}


def test_thousands_of_ended_jobs_are_asked_for_in_one_call(tmp_path: Path) -> None:
    transport = FakeTransport(squeue="", sacct="".join(sacct_line(str(n), "FAILED", f"t{n}") for n in range(3000)))
    attempts = [attempt(token=f"t{n}", job_id=str(n), folder=str(tmp_path / str(n))) for n in range(3000)]
    seen = cluster_with(tmp_path, transport).sight(attempts)
    assert transport.programs() == ["squeue", "sacct"]
    assert all(sighting.accounting is not None for sighting in seen.values())


def test_a_submission_that_may_be_under_way_is_not_asked_for_in_sacct(tmp_path: Path) -> None:
    young = attempt(
        job_id=None, status=AttemptStatus.SUBMITTING, created_at=NOW - timedelta(seconds=149), folder=str(tmp_path)
    )
    transport = FakeTransport(squeue="", sacct="")
    cluster = cluster_with(tmp_path, transport)
    seen = cluster.sight([young])["nf-1"]
    assert (transport.programs(), seen.all_answered, seen.job_id) == (["squeue"], False, None)
    seen = cluster.sight([replace(young, created_at=NOW - timedelta(seconds=150))])["nf-1"]
    assert (transport.programs()[1:], seen.all_answered, seen.job_id) == (["squeue", "sacct"], True, None)


# --- searching, cancelling, revoking ---


def test_tokens_are_searched_in_squeue_then_in_sacct(tmp_path: Path) -> None:
    transport = FakeTransport(squeue=squeue_line("1", "PENDING", "a"), sacct=sacct_line("2", "COMPLETED", "b"))
    attempts = [attempt(token=token, job_id=None, folder=str(tmp_path / token)) for token in "abc"]
    seen = cluster_with(tmp_path, transport).sight(attempts)
    assert {token: one.job_id for token, one in seen.items()} == {"a": "1", "b": "2", "c": None}
    assert seen["c"].all_answered
    assert transport.calls[1][-1] == "b,c"


@pytest.mark.parametrize("silent", ["squeue", "sacct"])
def test_a_search_without_both_answers_proves_no_absence(tmp_path: Path, silent: str) -> None:
    answers: dict[str, Any] = {"squeue": "", "sacct": "", silent: hung()}
    seen = cluster_with(tmp_path, FakeTransport(**answers)).sight([attempt(job_id=None, folder=str(tmp_path))])
    assert [(one.all_answered, one.job_id) for one in seen.values()] == [(False, None)]


def test_jobs_are_cancelled_by_id_at_once_and_by_name_where_it_is_lost(tmp_path: Path) -> None:
    transport = FakeTransport(scancel="")
    base = attempt(folder=str(tmp_path))
    others = [replace(base, token="b", job_id="4"), replace(base, token="c", job_id=None)]
    cluster_with(tmp_path, transport).cancel([base, *others])
    assert transport.calls[0] == ("scancel", "17", "4")
    assert transport.calls[1][-2:] == ("-n", "c")


def test_of_many_jobs_that_are_cancelled_one_may_have_ended(tmp_path: Path) -> None:
    told = "scancel: error: Kill job error on job id 17: Invalid job id specified"
    cluster_with(tmp_path, FakeTransport(scancel=ended(1, stderr=told))).cancel([attempt(folder=str(tmp_path / "t"))])


def test_a_job_that_is_not_ours_to_cancel_is_told(tmp_path: Path) -> None:
    told = "scancel: error: Kill job error on job id 17: Access/permission denied"
    with pytest.raises(CommandError, match="permission denied"):
        cluster_with(tmp_path, FakeTransport(scancel=ended(1, stderr=told))).cancel(
            [attempt(folder=str(tmp_path / "t"))]
        )


def test_retired_attempts_are_fenced_and_their_jobs_cancelled_in_one_call(tmp_path: Path) -> None:
    transport = FakeTransport(scancel="")
    attempts = [
        attempt(token=token, job_id=job_id, folder=str(tmp_path / token))
        for token, job_id in (("a", "17"), ("b", "605_4"), ("c", None))
    ]
    cluster_with(tmp_path, transport).retire(attempts)
    assert transport.calls == [("scancel", "17", "605_4")]
    assert all(claim.is_fenced(tmp_path / token) for token in "abc")


@pytest.mark.parametrize(
    "stderr",
    [
        "",
        "scancel: error: Kill job error on job id 17: Invalid job id specified",
        "scancel: error: Kill job error on job id 17: Job/step already completing or completed\n",
        "scancel: error: Kill job error on job id 17: Access/permission denied",
    ],
)
def test_a_job_that_is_gone_is_retired(tmp_path: Path, stderr: str) -> None:
    cluster_with(tmp_path, FakeTransport(scancel=ended(1, stderr=stderr))).retire([attempt(folder=str(tmp_path / "t"))])


@pytest.mark.parametrize(
    "answer",
    [
        hung(),
        ended(-9),
        ended(
            1,
            stderr="scancel: error: Kill job error on job id 1: Invalid job id specified\n"
            "scancel: error: Unable to contact slurm controller (connect failure)",
        ),
    ],
)
def test_where_scancel_does_not_take_the_order_nothing_is_sure_but_the_fence(tmp_path: Path, answer: Any) -> None:
    with pytest.raises(CommandError):
        cluster_with(tmp_path, FakeTransport(scancel=answer)).retire([attempt(folder=str(tmp_path / "t"))])
    assert claim.is_fenced(tmp_path / "t")


def test_a_job_that_bears_an_old_attempts_id_is_left_alone(tmp_path: Path) -> None:
    transport = FakeTransport(squeue=squeue_line("17", "RUNNING", "someone-elses"), sacct="", scancel="")
    cluster = cluster_with(tmp_path, transport)
    old = attempt(folder=str(tmp_path / "t"))
    cluster.sight([old])
    cluster.retire([old])
    assert "scancel" not in transport.programs()


def test_an_attempt_is_revoked_once_and_not_under_a_job(tmp_path: Path) -> None:
    cluster = cluster_with(tmp_path, FakeTransport())
    one = attempt(folder=str(tmp_path / "t"))
    assert cluster.revoke(one)
    assert cluster.revoke(one)
    other = attempt(folder=str(tmp_path / "u"))
    (tmp_path / "u").mkdir()
    claim.take(tmp_path / "u", "17")
    assert not cluster.revoke(other)


class TestTheJobsOfAFew:
    def test_they_are_asked_for_by_id_in_one_call(self, tmp_path: Path) -> None:
        transport = FakeTransport(squeue=squeue_line("17", "PENDING", "nf-1"))
        waiting = [attempt(), attempt(token="nf-2", job_id="4_7", array_token="a-1", array_index=7)]
        found = cluster_with(tmp_path, transport).jobs(waiting)
        assert list(found) == ["nf-1"]
        assert transport.calls == [jobs_command({"17", "4_7"})]
        assert "17,4_7" in transport.calls[0]

    def test_an_id_that_was_given_out_again_speaks_for_nobody(self, tmp_path: Path) -> None:
        transport = FakeTransport(squeue=squeue_line("17", "RUNNING", "somebody-elses"))
        assert cluster_with(tmp_path, transport).jobs([attempt()]) == {}

    def test_one_that_squeue_has_forgotten_is_left_out(self, tmp_path: Path) -> None:
        answer = ended(1, stderr="slurm_load_jobs error: Invalid job id specified\n")
        assert cluster_with(tmp_path, FakeTransport(squeue=answer)).jobs([attempt()]) == {}

    def test_without_an_id_nothing_is_asked(self, tmp_path: Path) -> None:
        transport = FakeTransport(squeue="")
        assert cluster_with(tmp_path, transport).jobs([attempt(job_id=None)]) == {}
        assert transport.calls == []

    @pytest.mark.parametrize("answer", [hung(), ended(1, stderr="Unable to contact slurm controller")])
    def test_a_silent_squeue_is_an_error(self, tmp_path: Path, answer: Answer) -> None:
        with pytest.raises(CommandError):
            cluster_with(tmp_path, FakeTransport(squeue=answer)).jobs([attempt()])
