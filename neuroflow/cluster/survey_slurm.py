"""What SLURM tells of itself and of the user, for a site file: the limits that a poll asks for, and a little more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from neuroflow.cluster.site_answers import ask_site
from neuroflow.cluster.survey import Survey
from neuroflow.domain import SiteLimits

_SETTING = re.compile(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.ASCII | re.MULTILINE)
_FIELD = re.compile(r"(?:^|\s)(\w+)=(\S*)", re.ASCII)
_QOS_FIELDS = ("Name", "Preempt", "MaxWall")
QOS_COMMAND = ("sacctmgr", "-nP", "show", "qos", f"format={','.join(_QOS_FIELDS)}")
ACCOUNTING_COMMAND = ("sacct", "-n", "-X", "-S", "now", "-o", "JobID")
_NOTHING = frozenset({"", "(null)", "none", "N/A"})


@dataclass(frozen=True)
class SlurmFacts:
    """What SLURM said; None, or nothing, where it did not."""

    site: SiteLimits
    settings: Mapping[str, str] = field(default_factory=dict)  # of `scontrol show config`, by name
    time_in_words: Mapping[str, str] = field(default_factory=dict)  # MaxTime as SLURM writes it, by partition
    default_account: str = ""
    qos_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # that the user may name, by account
    preempted_qos: frozenset[str] | None = None  # whose jobs others may stop; None: not known
    with_gpus: frozenset[str] = frozenset()  # partitions that have any, where SLURM counts them
    accounting: bool | None = None  # True: sacct answers; False: the controller keeps no accounts


def default_account_command(user: str) -> tuple[str, ...]:
    """Build the call that names a user's default account."""
    return ("sacctmgr", "-nP", "show", "user", f"name={user}", "format=DefaultAccount")


def user_qos_command(user: str) -> tuple[str, ...]:
    """Build the call that lists the QOS that a user may name in each account."""
    return ("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=Account,QOS")


def ask_slurm(survey: Survey, *, user: str) -> SlurmFacts | None:
    """Ask SLURM; None where its commands are not there."""
    if not survey.has("scontrol"):
        return None
    answers = ask_site(
        survey.ask,
        user=user,
        keeps_accounts=lambda config: has_accounting(parse_settings(config or "")) is not False,
        reservations=False,
    )
    settings = parse_settings(answers.config or "")
    account = user_qos = preempt = None
    has_accounts = has_accounting(settings)
    if has_accounts is not False:
        account = survey.ask(default_account_command(user))
        user_qos = survey.ask(user_qos_command(user))
        preempt = survey.ask(QOS_COMMAND)
        has_accounts = True if survey.ask(ACCOUNTING_COMMAND) is not None else None
    return SlurmFacts(
        site=answers.limits(),
        settings=settings,
        time_in_words=parse_times(answers.partitions or ""),
        default_account=parse_default_account(account or ""),
        qos_of=parse_user_qos(user_qos or ""),
        preempted_qos=None if preempt is None else parse_preempted(preempt),
        with_gpus=parse_with_gpus(answers.partitions or ""),
        accounting=has_accounts,
    )


def parse_settings(text: str) -> dict[str, str]:
    """Read `scontrol show config`; settings without a value are left out."""
    return {name: value for name, value in _SETTING.findall(text) if value not in _NOTHING}


def has_accounting(settings: Mapping[str, str]) -> bool | None:
    """Tell whether the controller keeps accounts; None where it did not say."""
    if not settings:
        return None
    # Accounting is off where the plugin is accounting_storage/none, or (since 21.08) none is named.
    return settings.get("AccountingStorageType", "").removeprefix("accounting_storage/") not in _NOTHING


def parse_times(text: str) -> dict[str, str]:
    """Read MaxTime of each partition, as `scontrol -o show partition` writes it."""
    return {row["PartitionName"]: row.get("MaxTime", "") for row in _partition_rows(text)}


def parse_with_gpus(text: str) -> frozenset[str]:
    """Read which partitions have GPUs, as far as AccountingStorageTRES makes SLURM count them."""
    return frozenset(row["PartitionName"] for row in _partition_rows(text) if "gres/gpu" in row.get("TRES", ""))


def _partition_rows(text: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        row = dict(_FIELD.findall(line))
        if row.get("PartitionName"):
            yield row


def parse_default_account(text: str) -> str:
    """Read a user's default account; nothing where there is none."""
    names = [line.strip() for line in text.splitlines() if line.strip()]
    # A site's wrapper may print a banner first; a name has no spaces.
    return next((name for name in reversed(names) if " " not in name and "|" not in name), "")


def parse_user_qos(text: str) -> dict[str, tuple[str, ...]]:
    """Read which QOS a user may name, by account."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        account, bar, names = line.strip().partition("|")
        if bar and account and "|" not in names:
            new = (name.lstrip("+") for name in names.split(",") if name)
            found[account] = tuple(dict.fromkeys((*found.get(account, ()), *new)))
    return found


def parse_preempted(text: str) -> frozenset[str]:
    """Read the names of those QOS that another QOS may preempt."""
    rows = [line.strip().split("|") for line in text.splitlines()]
    return frozenset(name for row in rows if len(row) == len(_QOS_FIELDS) for name in row[1].split(",") if name)
