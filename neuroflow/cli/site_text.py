"""The text of a new site file: each value with where it came from, alternatives and open questions as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neuroflow.cli.site_machine_text import container_lines, scratch_lines
from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.cluster.survey import Silence
from neuroflow.cluster.survey_machine import MachineFacts
from neuroflow.cluster.survey_slurm import SlurmFacts
from neuroflow.config.execution import Limits
from neuroflow.orchestrator.site_choice import PartitionChoice, SiteChoice

MARK = "# Written by `neuroflow init --site "
_SOCKETS = re.compile(r"\([^)]*\)")
_PARTITION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True)
class Findings:
    """All that was learned of a site."""

    name: str
    when: str  # the day
    machine: MachineFacts
    silences: Sequence[Silence]
    asked_slurm: bool = True
    slurm: SlurmFacts | None = None
    choice: SiteChoice | None = None


def site_text(found: Findings) -> str:
    """Write a site file."""
    parts = [*_head(found)]
    if found.slurm is not None and found.choice is not None:
        parts += _slurm_cluster(found, found.slurm, found.choice)
    else:
        parts += _local_cluster(found)
    parts += ["", *container_lines(found.machine, on_slurm=found.slurm is not None)]
    parts += ["", *_max_concurrent(found)]
    return "\n".join(parts) + "\n"


def _head(found: Findings) -> Iterator[str]:
    yield f"{MARK}{found.name}` on {found.when}: one site's facts, for `site: {found.name}` in neuroflow.yaml."
    yield from comment(
        "Each value says where it came from; TODO marks what could not be learned. Edit it freely: "
        f"`neuroflow init --site {found.name} --force` asks again, and keeps this file as {found.name}.yaml.old. "
        "All keys: docs/configuration.md. Check with `neuroflow config validate`."
    )
    for command, reason in _grouped(found.silences):
        yield from comment(f"TODO not learned: {command}: {reason}")


def _grouped(silences: Sequence[Silence]) -> Iterator[tuple[str, str]]:
    """Name one call of a program that failed, and how many others did."""
    by_program: dict[str, list[Silence]] = {}
    for silence in silences:
        by_program.setdefault(silence.command.partition(" ")[0], []).append(silence)
    for program, group in by_program.items():
        others = f" (and {len(group) - 1} more calls of {program})" if len(group) > 1 else ""
        yield group[0].command + others, group[0].reason


# --- SLURM ---


def _slurm_cluster(found: Findings, facts: SlurmFacts, choice: SiteChoice) -> list[str]:
    settings = facts.settings
    lines = ["cluster:", f"  name: {scalar(found.name)}"]
    if settings.get("ClusterName"):
        version = settings.get("SLURM_VERSION", "of an unknown version")
        lines += comment(f"SLURM {version}, ClusterName={settings['ClusterName']} (`scontrol show config`)", indent=2)
    lines += ["  kind: slurm", "", *_account(facts, choice), *_qos(facts, choice), "", *_partition(choice, facts)]
    lines += ["", *_accounting(facts), "", *scratch_lines(found.machine, settings)]
    lines += ["", *_partition_table(choice.partitions)]
    return lines


def _account(facts: SlurmFacts, choice: SiteChoice) -> Iterator[str]:
    others = dict.fromkeys(one.account for one in facts.site.associations or () if one.account != choice.account)
    if choice.account is None:
        if facts.accounting is not False:
            yield from comment("TODO the account that pays: `sacctmgr show assoc user=$USER format=account`", indent=2)
        yield "  # account: lab"
        return
    is_default = facts.default_account == choice.account
    command = "sacctmgr show user" if is_default else "sacctmgr show assoc"
    yield from comment(f"from `{command}`: {'your default account' if is_default else 'your first account'}", indent=2)
    yield f"  account: {scalar(choice.account)}"
    if others:
        yield from comment(f"Your other accounts: {', '.join(others)}", indent=2)


def _qos(facts: SlurmFacts, choice: SiteChoice) -> Iterator[str]:
    names = ", ".join(facts.qos_of.get(choice.account or "", ()))
    told = f"; you may name: {names}" if names else ""
    default = choice.default_qos
    if choice.qos is not None:
        yield from comment(
            f"from `sacctmgr show assoc|qos`: not your default, {default}, whose jobs may be preempted{told}", indent=2
        )
        yield f"  qos: {scalar(choice.qos)}"
        return
    if default and default in (facts.preempted_qos or ()):
        yield from comment(
            f"TODO a QOS: jobs of your default, {default}, may be preempted, and you have no other", indent=2
        )
    elif default or names:
        which = f"your default QOS ({default})" if default else "SLURM's default QOS"
        yield from comment(f"from `sacctmgr show assoc`: {which} is taken where none is named{told}", indent=2)
    yield "  # qos: normal"


def _partition(choice: SiteChoice, facts: SlurmFacts) -> Iterator[str]:
    best = choice.partition
    if best is None:
        yield from comment(
            "TODO the partition: none was found that is up, open to you, without GPUs and never preempted "
            "(`sinfo -s` shows them all)",
            indent=2,
        )
        yield "  # partition: normal"
        return
    what = "the default partition" if best.known.is_default else "the one that suits QSIPrep best"
    time = facts.time_in_words.get(best.name, "")
    nodes = f", {best.nodes} nodes" if best.nodes else ""
    yield from comment(
        f"from `scontrol show partition`: {what}{f', MaxTime={time}' * bool(time)}{nodes}. With `auto`, each job "
        "goes to the smallest of the partitions below that takes it",
        indent=2,
    )
    yield f"  partition: {scalar(best.name)}"
    yield from comment(
        "from `sinfo` (the largest node) and `scontrol show partition`: the most that a job may ask for. One that "
        "ran out of memory or time gets more, up to these",
        indent=2,
    )
    yield from _limits(best.limits, indent=2)


def _limits(limits: Limits, *, indent: int) -> list[str]:
    space = " " * indent
    known = {name: value for name, value in limits.model_dump().items() if value is not None}
    unknown = [name for name, value in limits.model_dump().items() if value is None and name != "gpus"]
    if not known.get("gpus"):
        known.pop("gpus", None)
    lines = [f"{space}limits:", *(f"{space}  {name}: {value}" for name, value in known.items())]
    if unknown:
        lines.append(f"{space}  # no limit known: {', '.join(unknown)}")
    return lines


def _accounting(facts: SlurmFacts) -> Iterator[str]:
    if facts.accounting:
        yield "  # from `sacct`, which answers"
        yield "  accounting: true"
    elif facts.accounting is False:
        yield from comment("from `scontrol show config`: no accounting storage, so there is no sacct", indent=2)
        yield "  accounting: false"
    else:
        yield from comment("TODO sacct did not answer: set it to false where there is none", indent=2)
        yield "  # accounting: true"
    limit = facts.site.max_array_size
    if limit is not None:
        yield from comment(f"MaxArraySize={limit} (`scontrol show config`): arrays are kept below it", indent=2)


def _partition_table(partitions: Sequence[PartitionChoice]) -> Iterator[str]:
    usable = [
        one for one in partitions if not one.refusal and _PARTITION_NAME.fullmatch(one.name) and one.name != "auto"
    ]
    names = {one.name for one in usable}
    yield from comment(
        "from `scontrol show partition` and `sinfo`: the partitions that take your jobs. What stands here for one "
        "holds instead of the above, and `pipelines.X.partition` sends a pipeline there",
        indent=2,
    )
    if usable:
        yield "  partitions:"
    else:
        yield "  # TODO none was learned"
        yield "  # partitions:"
    for one in usable:
        yield from _table_row(one)
    for one in partitions:
        if one.name not in names:
            yield from comment(f"left out: {one.name}: {one.refusal or 'its name'}", indent=2)


def _table_row(one: PartitionChoice) -> Iterator[str]:
    marks = [f"{one.nodes} nodes"] if one.nodes else []
    marks += ["SLURM's default"] if one.known.is_default else []
    # sinfo adds the sockets: gpu:a100:4(S:0-1).
    marks += [f"GPUs: {_SOCKETS.sub('', ', '.join(one.gpus))}"] if one.gpus else []
    if marks:
        yield from comment("; ".join(marks), indent=4)
    yield f"    {scalar(one.name)}:"
    if one.is_special:
        yield "      auto: false # by its name it is for tests, or for people at a terminal"
    if one.is_preemptible:
        yield "      preemptible: true # its jobs may be stopped for others'"
    elif one.looks_preemptible:
        yield "      preemptible: false # from `scontrol show config`: partitions don't preempt each other here"
    if one.qos is not None:
        yield f"      qos: {scalar(one.qos)} # the partition does not take your default QOS"
    yield from _limits(one.limits, indent=6)


# --- no SLURM ---


def _local_cluster(found: Findings) -> Iterator[str]:
    yield "cluster:"
    yield f"  name: {scalar(found.name)}"
    why = "SLURM's commands are not on PATH: each" if found.asked_slurm else "Each"
    yield from comment(f"{why} run is a process on this machine", indent=2)
    yield "  kind: local"
    yield "  poll_seconds: 10"
    machine = found.machine
    if machine.cpus and machine.memory_mb:
        yield from comment("from `nproc` and /proc/meminfo: what this machine has", indent=2)
        yield from _limits(Limits(cpus=machine.cpus, memory_mb=machine.memory_mb), indent=2)


def _max_concurrent(found: Findings) -> Iterator[str]:
    yield "workflow:"
    if found.slurm is None:
        yield from comment("Runs in flight: all of these share one machine", indent=2)
        numbers = {"bids_conversion": 1, "qsiprep": 1, "qsirecon": 1, "qsiparc": 1}
    else:
        account = None if found.choice is None else found.choice.account
        own = [one for one in found.slurm.site.associations or () if one.account == account]
        most = [one.max_submit for one in own if one.max_submit]
        told = f"; MaxSubmit={min(most)} of your account is kept to in any case" if most else ""
        yield from comment(f"Runs in flight, a start: SLURM does the queueing, so these can be large{told}", indent=2)
        numbers = {"bids_conversion": 4, "qsiprep": 100, "qsirecon": 200, "qsiparc": 400}
    yield "  max_concurrent:"
    for name, number in numbers.items():
        yield f"    {name}: {number}"
