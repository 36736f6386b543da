"""The text of a new site file: each value with where it came from, alternatives and open questions as comments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neuroflow.cli.site_machine_text import container_lines, scratch_lines
from neuroflow.cli.site_partition_text import limit_lines, partition_lines, partition_table
from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.cluster.survey import Silence
from neuroflow.cluster.survey_machine import MachineFacts
from neuroflow.cluster.survey_slurm import SlurmFacts
from neuroflow.config.execution import Limits
from neuroflow.orchestrator.site_choice import SiteChoice

MARK = "# Written by `neuroflow init --site "


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
        by_program.setdefault(silence.program, []).append(silence)
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
    lines += ["  kind: slurm", "", *_account(facts, choice), *_qos(facts, choice), "", *partition_lines(choice, facts)]
    lines += ["", *_accounting(facts), "", *scratch_lines(found.machine, settings)]
    lines += ["", *partition_table(choice.partitions)]
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
        yield from limit_lines(Limits(cpus=machine.cpus, memory_mb=machine.memory_mb), indent=2)


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
