"""SLURM's reasons for a job that waits, in plain words.

The words follow https://slurm.schedmd.com/job_reason_codes.html; a reason that the table lacks is told as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What a reason means, and whether waiting helps."""

    words: str
    is_stuck: bool = False  # it never starts by itself: a person has to change something


_WAITING = {
    "None": "SLURM has not looked at it yet",
    "Priority": "jobs with a higher priority go before it",
    "Resources": "it is next in line, and waits until enough cores, memory or GPUs are free",
    "BeginTime": "its earliest start time has not come yet",
    "Dependency": "it depends on another job that has not ended yet",
    "Licenses": "it waits for a licence that other jobs use",
    "Cleaning": "SLURM still cleans up after an earlier life of the job",
    "Prolog": "its node is being prepared",
    "NodeDown": "a node that it needs is down",
    "FrontEndDown": "no front-end node is there to run it",
    "Reservation": "it waits for its reservation to begin",
    "ReservationDeleted": "its reservation was deleted",
    "ReqNodeNotAvail": "the nodes that it could use are not available now: down, drained or reserved",
    "JobArrayTaskLimit": "as many elements of its job array run as may at once",
    "MaxRequeue": "it was put back into the queue as often as SLURM allows",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "SchedDefer": "SLURM starts no job at the moment of its submission",
    "DeadLine": "it can't end before its deadline any more",
    "BurstBufferResources": "it waits for room in the burst buffer",
    "BurstBufferStageIn": "its data are being brought to the burst buffer",
    "AccountingPolicy": "a limit of the account or the QOS is reached",
    "QOSJobLimit": "the QOS has as many jobs as it may have",
    "QOSResourceLimit": "the QOS uses as much as it may",
    "AssociationJobLimit": "the account has as many jobs as it may have",
    "AssociationResourceLimit": "the account uses as much as it may",
}
# Nothing but a change of the job, of the site or by an admin starts these.
_STUCK = {
    "JobHeldUser": "somebody holds it (`scontrol release JOB` lets it go)",
    "JobHeldAdmin": "an administrator holds it: ask them to let it go (`scontrol release JOB`)",
    "JobHoldMaxRequeue": "it was put back into the queue too often, and is held: an administrator has to let it go",
    "DependencyNeverSatisfied": "a job that it depends on failed: it will never start",
    "PartitionTimeLimit": "it asks for more time than its partition allows: it will never start as it is",
    "PartitionNodeLimit": "it asks for more nodes than its partition allows: it will never start as it is",
    "PartitionConfig": "its partition does not take such a request: it will never start as it is",
    "BadConstraints": "no node has what it asks for: it will never start as it is",
    "AccountNotAllowed": "its account may not use this partition",
    "QOSNotAllowed": "its QOS may not be used with this account or partition",
    "InvalidAccount": "SLURM does not know its account",
    "InvalidQOS": "SLURM does not know its QOS, or the user may not use it",
    "QOSUsageThreshold": "the QOS' usage threshold is passed",
    "QOSTimeLimit": "it asks for more time than its QOS allows: it will never start as it is",
    "AssociationTimeLimit": "it asks for more time than its account allows: it will never start as it is",
    "launch failed requeued held": "it could not be started on its node, and is held",
    "NonZeroExitCode": "it ended with an error",
}
# What a limit is about, by the end of its name.
_UNITS = (
    (re.compile(r"cpurunminutes|cpuminutes", re.IGNORECASE), "core-minutes"),
    (re.compile(r"cpu", re.IGNORECASE), "cores"),
    (re.compile(r"mem", re.IGNORECASE), "memory"),
    (re.compile(r"gres", re.IGNORECASE), "GPUs or other devices"),
    (re.compile(r"submit", re.IGNORECASE), "submitted jobs"),
    (re.compile(r"node", re.IGNORECASE), "nodes"),
    (re.compile(r"wall", re.IGNORECASE), "time"),
    (re.compile(r"billing", re.IGNORECASE), "billing units"),
    (re.compile(r"job", re.IGNORECASE), "jobs"),  # last: most names end in `PerJob` or `JobsLimit`
)
_PER_JOB = re.compile(r"per(?:job|node)|WallDuration", re.IGNORECASE)


def reason_in_words(text: str) -> Reason:
    """Say what squeue's reason for a waiting job means.

    Args:
        text: as squeue prints it, such as `Priority` or `ReqNodeNotAvail, Reserved for maintenance`.
    """
    word, _, more = text.strip().strip("()").partition(",")
    word, more = word.strip().replace("_", " "), more.strip()
    if word in _STUCK:
        return Reason(_STUCK[word], is_stuck=True)
    if word == "ReqNodeNotAvail" and "maintenance" in more.lower():
        return Reason("the nodes that it could use are reserved for maintenance before it could end")
    if word in _WAITING:
        return Reason(_WAITING[word])
    limit = _limit(word)
    return limit or Reason(f"SLURM says '{word or 'nothing'}'")


def _limit(word: str) -> Reason | None:
    """Read the names of limits, of which there are over a hundred: who limits, how, and what."""
    if word.startswith("Assoc"):
        whose = "the account"
    elif word.startswith("QOS"):
        whose = "the QOS"
    elif word.startswith("Max") and "PerAccount" in word:
        whose = "the QOS, for one account,"
    else:
        return None
    what = next((unit for pattern, unit in _UNITS if pattern.search(word)), "of something")
    if _PER_JOB.search(word) and "Grp" not in word:
        return Reason(f"it asks for more {what} than {whose} allows one job: it will never start as it is", True)
    if "Minutes" in word and "RunMinutes" not in word:
        spent = f"{whose} has used up its {what}: it starts once they are reset, or more are granted"
        return Reason(spent, is_stuck=True)
    who = " for one user" if "PerUser" in word else ""
    return Reason(f"{whose} uses as much as it may{who} ({what}); it starts when other jobs of it have ended")
