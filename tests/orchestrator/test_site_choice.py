"""A new site goes to a partition that suits it: never one of GPUs, and never one whose jobs may be stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster import site_limits
from neuroflow.cluster.survey_slurm import (
    SlurmFacts,
    parse_default_account,
    parse_preempted,
    parse_settings,
    parse_user_qos,
    parse_with_gpus,
)
from neuroflow.domain import Association, NodeGroup, PartitionLimits, QosLimits, Resources, SiteLimits
from neuroflow.orchestrator.registry import largest_request
from neuroflow.orchestrator.site_choice import SiteChoice, choose
from tests.support.fake_slurm import RECORDED

REQUEST = Resources(cpus=8, memory_mb=40_000, time_minutes=1440)
DAY = 1440


def recorded(folder: str) -> SlurmFacts:
    def text(name: str) -> str | None:
        file: Path = RECORDED / folder / f"{name}.txt"
        return file.read_text(encoding="utf-8") if file.exists() else None

    return SlurmFacts(
        site=site_limits.gathered(
            reservations=None,
            **{name: text(name) for name in ("config", "partitions", "nodes", "groups", "associations", "qos")},
        ),
        settings=parse_settings(text("config") or ""),
        default_account=parse_default_account(text("default_account") or ""),
        qos_of=parse_user_qos(text("user_qos") or ""),
        preempted_qos=parse_preempted(text("preempt") or ""),
        with_gpus=parse_with_gpus(text("partitions") or ""),
    )


def site(**partitions: PartitionLimits) -> SlurmFacts:
    return SlurmFacts(site=SiteLimits(partitions=partitions), settings={"PreemptType": "preempt/none"})


def chosen(choice: SiteChoice) -> str | None:
    return None if choice.partition is None else choice.partition.name


def test_the_request_is_the_most_that_a_pipeline_asks_for() -> None:
    assert largest_request() == Resources(cpus=8, memory_mb=40_000, time_minutes=DAY)


def test_a_recorded_cluster() -> None:
    choice = choose(recorded("survey_22.05"), request=REQUEST)
    assert (choice.account, choice.qos, chosen(choice)) == ("root", None, "main")
    assert {one.name: one.is_preemptible for one in choice.partitions} == {"main": False, "short": False, "spot": True}
    assert choice.partition is not None
    assert choice.partition.limits.model_dump() == {"cpus": 16, "memory_mb": 64000, "time_minutes": 2880, "gpus": 0}


def test_a_cluster_whose_qos_preempt_and_whose_default_partition_is_for_tests() -> None:
    choice = choose(recorded("survey_by_hand"), request=REQUEST)
    assert (choice.account, choice.default_qos, chosen(choice)) == ("neuro", "normal", "normal")
    found = {one.name: one for one in choice.partitions}
    assert {name for name, one in found.items() if one.is_preemptible} == {"spare"}
    assert {name for name, one in found.items() if one.is_for_gpus} == {"gpu"}
    assert {name: one.refusal for name, one in found.items() if one.refusal} == {
        "theirs": "for the groups chemists only",
        "paid": "not for account neuro",
        "old": "it is DOWN",
    }
    assert found["long"].limits.time_minutes == 7 * DAY  # of the partition's QOS, not of the partition


def test_no_partition_is_better_than_one_of_gpus_or_one_that_is_preempted() -> None:
    groups = {"a": (NodeGroup(8, 64000, gres="gpu:a100:4"),)}
    facts = replace(site(), site=SiteLimits(partitions={"a": PartitionLimits(is_default=True)}, nodes=groups))
    assert chosen(choose(facts, request=REQUEST)) is None
    tiers = site(
        low=PartitionLimits(is_default=True, preempt_mode="REQUEUE", tier=1), top=PartitionLimits(tier=9, state="DOWN")
    )
    preempting = replace(tiers, settings={"PreemptType": "preempt/partition_prio"})
    assert chosen(choose(preempting, request=REQUEST)) is None
    assert chosen(choose(tiers, request=REQUEST)) == "low"


@pytest.mark.parametrize("name", ["gpu", "gpu-long", "gpuq", "a100", "batch_gpu", "h100-2"])
def test_a_partition_is_known_by_its_name_where_sinfo_did_not_answer(name: str) -> None:
    assert chosen(choose(site(**{name: PartitionLimits(is_default=True)}), request=REQUEST)) is None


@pytest.mark.parametrize("name", ["spot", "preemptible", "scavenger", "ckpt-all", "free"])
def test_a_preemptible_one_is_known_by_its_name_where_scontrol_did_not_answer(name: str) -> None:
    facts = replace(site(**{name: PartitionLimits(is_default=True)}), settings={})
    assert chosen(choose(facts, request=REQUEST)) is None


def test_a_partition_with_a_qos_of_its_own_is_left_alone_where_nobody_says_which_qos_are_preempted() -> None:
    facts = replace(recorded("survey_by_hand"), preempted_qos=None)
    found = choose(replace(facts, site=replace(facts.site, nodes=None)), request=REQUEST)
    assert chosen(found) == "normal"
    assert {one.name for one in found.partitions if one.is_preemptible} == {"long", "spare"}
    assert {one.name for one in found.partitions if one.is_for_gpus} == {"gpu", "spare"}


def test_one_that_takes_the_request_before_the_default_one_and_cpu_nodes_before_mixed_ones() -> None:
    facts = site(
        short=PartitionLimits(time_minutes=60, is_default=True),
        mixed=PartitionLimits(time_minutes=2 * DAY, nodes=100),
        plain=PartitionLimits(time_minutes=2 * DAY, nodes=10),
        develop=PartitionLimits(nodes=500),
    )
    cpu, gpu = NodeGroup(64, 256000), NodeGroup(64, 256000, gres="gpu:4")
    nodes = {"mixed": (cpu, gpu), "short": (cpu,), "plain": (cpu,), "develop": (cpu,)}
    assert chosen(choose(replace(facts, site=replace(facts.site, nodes=nodes)), request=REQUEST)) == "plain"


def test_the_first_account_where_there_is_no_default() -> None:
    associations = (Association("b"), Association("a"))
    facts = SlurmFacts(site=SiteLimits(associations=associations))
    assert choose(facts, request=REQUEST).account == "b"
    assert choose(replace(facts, default_account="a"), request=REQUEST).account == "a"
    assert choose(replace(facts, default_account="gone"), request=REQUEST).account == "b"
    assert choose(SlurmFacts(site=SiteLimits(), default_account="x"), request=REQUEST).account == "x"
    assert choose(SlurmFacts(site=SiteLimits()), request=REQUEST).account is None


def test_a_qos_whose_jobs_are_preempted_is_not_left_as_the_default() -> None:
    facts = SlurmFacts(
        site=SiteLimits(associations=(Association("lab", default_qos="free"),)),
        qos_of={"lab": ("free", "paid")},
        preempted_qos=frozenset({"free"}),
    )
    assert choose(facts, request=REQUEST).qos == "paid"
    assert choose(replace(facts, qos_of={"lab": ("free",)}), request=REQUEST).qos is None


def test_a_qos_is_named_where_a_partition_does_not_take_the_default_one() -> None:
    partitions = {
        "day": PartitionLimits(is_default=True),
        "week": PartitionLimits(qos_names=("long",)),
        "closed": PartitionLimits(qos_names=("vip",)),
    }
    facts = SlurmFacts(
        site=SiteLimits(
            partitions=partitions,
            associations=(Association("lab", default_qos="normal", time_minutes=9 * DAY),),
            qos={"normal": QosLimits(time_minutes=DAY), "long": QosLimits(time_minutes=7 * DAY)},
        ),
        settings={"PreemptType": "preempt/none"},
        qos_of={"lab": ("normal", "long")},
    )
    found = {one.name: one for one in choose(facts, request=REQUEST).partitions}
    assert {name: (one.qos, one.limits.time_minutes) for name, one in found.items()} == {
        "day": (None, DAY),
        "week": ("long", 7 * DAY),
        "closed": (None, DAY),
    }
    assert found["closed"].refusal == "not for QOS normal"
