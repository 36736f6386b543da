"""The part of a new site file about partitions: the one that was chosen, and the table of all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.cluster.survey_slurm import SlurmFacts
from neuroflow.config.execution import Limits
from neuroflow.orchestrator.site_choice import PartitionChoice, SiteChoice

_SOCKETS = re.compile(r"\([^)]*\)")
_PARTITION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


def partition_lines(choice: SiteChoice, facts: SlurmFacts) -> Iterator[str]:
    """Write the partition that was chosen, and what it takes."""
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
    yield from limit_lines(best.limits, indent=2)


def limit_lines(limits: Limits, *, indent: int) -> list[str]:
    """Write limits; those that are not known as a comment."""
    space = " " * indent
    known = {name: value for name, value in limits.model_dump().items() if value is not None}
    unknown = [name for name, value in limits.model_dump().items() if value is None and name != "gpus"]
    if not known.get("gpus"):
        known.pop("gpus", None)
    lines = [f"{space}limits:", *(f"{space}  {name}: {value}" for name, value in known.items())]
    if unknown:
        lines.append(f"{space}  # no limit known: {', '.join(unknown)}")
    return lines


def partition_table(partitions: Sequence[PartitionChoice]) -> Iterator[str]:
    """Write the settings of each partition that takes the user's jobs, and why the others are left out."""
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
    if one.qos is not None:
        yield f"      qos: {scalar(one.qos)} # the partition does not take your default QOS"
    yield from limit_lines(one.limits, indent=6)
