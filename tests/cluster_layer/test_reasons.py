"""SLURM's reasons in words: no word is lost, and what never starts by itself is told apart."""

from __future__ import annotations

import pytest

from neuroflow.cluster.reasons import reason_in_words


@pytest.mark.parametrize(
    ("raw", "words", "is_stuck"),
    [
        ("Priority", "a higher priority", False),
        ("Resources", "next in line", False),
        ("(Resources)", "next in line", False),
        ("BeginTime", "earliest start time", False),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "not available now", False),
        ("ReqNodeNotAvail, Reserved for maintenance", "reserved for maintenance", False),
        ("QOSMaxJobsPerUserLimit", "the QOS uses as much as it may for one user (jobs)", False),
        ("QOSGrpCpuLimit", "the QOS uses as much as it may (cores)", False),
        ("QOSMaxMemoryPerJob", "asks for more memory than the QOS allows one job", True),
        ("QOSMaxWallDurationPerJobLimit", "asks for more time than the QOS allows one job", True),
        ("AssocGrpMemLimit", "the account uses as much as it may (memory)", False),
        ("AssocGrpCPUMinutesLimit", "the account has used up its core-minutes", True),
        ("AssocGrpCPURunMinutesLimit", "the account uses as much as it may (core-minutes)", False),
        ("AssocMaxJobsLimit", "the account uses as much as it may (jobs)", False),
        ("MaxGRESPerAccount", "the QOS, for one account, uses as much as it may (GPUs", False),
        ("DependencyNeverSatisfied", "will never start", True),
        ("PartitionTimeLimit", "more time than its partition allows", True),
        ("JobHeldUser", "somebody holds it", True),
        ("JobHeldAdmin", "an administrator holds it", True),
        ("launch_failed_requeued_held", "could not be started on its node", True),
        ("SomethingNew", "SLURM says 'SomethingNew'", False),
        ("", "SLURM says 'nothing'", False),
    ],
)
def test_a_reason_has_its_words(raw: str, words: str, is_stuck: bool) -> None:
    reason = reason_in_words(raw)
    assert words in reason.words
    assert reason.is_stuck is is_stuck
