"""The partition of a job: the named one, or with `auto` the smallest that takes its request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from neuroflow.config.execution import Cluster, Limits, PipelineSettings
from neuroflow.domain import Association, NodeGroup, PartitionLimits, QosLimits, Resources, SiteLimits
from neuroflow.errors import PlacementError
from neuroflow.orchestrator.candidates import with_features
from neuroflow.orchestrator.placement import Places
from neuroflow.orchestrator.registry import Pipeline, get_registry

# A middle-sized university cluster: four sizes of nodes in seven partitions.
THIN = NodeGroup(48, 192_000, 200, features=("avx2", "ib"))
FAT = NodeGroup(64, 1_500_000, 4, features=("avx2",))
GPU = NodeGroup(32, 384_000, 8, gres="gpu:a100:4(S:0-1)", features=("avx2",))
OLD_GPU = NodeGroup(16, 96_000, 4, gres="gpu:v100:2")
SITE = SiteLimits(
    partitions={
        "normal": PartitionLimits(time_minutes=2880, is_default=True, tier=10),
        "short": PartitionLimits(time_minutes=240, tier=10),
        "long": PartitionLimits(time_minutes=10_080, tier=10),
        "bigmem": PartitionLimits(time_minutes=2880, tier=10),
        "gpu": PartitionLimits(time_minutes=1440, tier=10),
        "spot": PartitionLimits(time_minutes=120, tier=1, preempt_mode="REQUEUE"),
        "staff": PartitionLimits(time_minutes=10, tier=10, accounts=("physics",)),
    },
    nodes={
        "normal": (THIN,),
        "short": (THIN, FAT),
        "long": (THIN,),
        "bigmem": (FAT,),
        "gpu": (GPU, OLD_GPU),
        "spot": (THIN, FAT, GPU),
        "staff": (THIN,),
    },
    associations=(Association("lab"),),
)


def request(cpus: int = 8, memory_mb: int = 32_000, minutes: int = 600, gpus: int = 0) -> Resources:
    return Resources(cpus, memory_mb, minutes, gpus)


def places(site: SiteLimits = SITE, **cluster: Any) -> Places:
    return Places(Cluster.model_validate({"kind": "slurm", "partition": "auto", **cluster}), site)


def pipeline(**settings: Any) -> Pipeline:
    return replace(get_registry().get("qsirecon"), settings=PipelineSettings.model_validate(settings))


def chosen(asked: Resources, where: Places | None = None, **settings: Any) -> str | None:
    return (where or places()).of(pipeline(**settings), asked).partition


def refused(asked: Resources, where: Places | None = None, **settings: Any) -> PlacementError:
    with pytest.raises(PlacementError) as caught:
        chosen(asked, where, **settings)
    return caught.value


class TestTheSmallestThatFits:
    @pytest.mark.parametrize(
        ("asked", "partition"),
        [
            (request(minutes=30), "short"),
            (request(minutes=240), "short"),
            (request(minutes=241), "normal"),
            (request(minutes=2881), "long"),
            (request(memory_mb=192_001, minutes=200), "short"),
            (request(memory_mb=192_001, minutes=600), "bigmem"),
            (request(cpus=64, minutes=600), "bigmem"),
            (request(gpus=1), "gpu"),
            (request(gpus=4), "gpu"),
        ],
    )
    def test_a_short_partition_comes_first_and_then_a_small_node(self, asked: Resources, partition: str) -> None:
        assert chosen(asked) == partition

    def test_a_partition_that_has_some_gpus_takes_jobs_without(self) -> None:
        mixed = replace(SITE, nodes={**(SITE.nodes or {}), "short": (THIN, GPU)})
        assert chosen(request(minutes=30), places(mixed)) == "short"
        assert chosen(request(minutes=30, gpus=1), places(mixed)) == "short"

    def test_one_node_has_to_have_all_that_is_asked_for(self) -> None:
        assert "no partition takes" in str(refused(request(cpus=32, gpus=2), gres="gpu:v100:2"))
        assert chosen(request(cpus=16, gpus=2), gres="gpu:v100:2") == "gpu"
        refused(request(gpus=1), gres="gpu:h100:1")

    def test_a_constraint_leaves_out_nodes(self) -> None:
        assert chosen(request(memory_mb=500_000, minutes=30)) == "short"
        refused(request(memory_mb=500_000, minutes=30), constraint="avx2&ib")
        assert "normal: none of its nodes has the features" in str(refused(request(), constraint="knl"))
        assert places().placed(pipeline(partition="normal", constraint="knl"), request()).cpus == 8
        assert chosen(request(minutes=30), constraint="ib|sky") == "short"
        assert chosen(request(minutes=30), constraint="[rack1*2&rack2*2]") == "short"  # not understood: SLURM tells

    def test_the_choice_does_not_hang_on_an_order(self) -> None:
        partitions = SITE.partitions or {}
        turned = replace(SITE, partitions=dict(reversed(partitions.items())))
        for minutes in (10, 500, 5000):
            assert chosen(request(minutes=minutes), places(turned)) == chosen(request(minutes=minutes))

    def test_of_two_alike_the_default_one_is_taken(self) -> None:
        alike = {name: PartitionLimits(time_minutes=60, is_default=name == "c") for name in "abcd"}
        assert chosen(request(minutes=30), places(SiteLimits(partitions=alike))) == "c"


class TestWhatIsAllowed:
    def test_a_preemptible_one_only_where_the_pipeline_says_so(self) -> None:
        assert chosen(request(minutes=60)) == "short"
        assert chosen(request(minutes=60), preemptible=True) == "spot"

    def test_where_quality_of_service_decides_tiers_stop_nobody(self) -> None:
        by_qos = replace(SITE, preempts_by_tier=False)
        assert chosen(request(minutes=60), places(by_qos)) == "spot"

    def test_the_configuration_knows_better_what_is_preemptible(self) -> None:
        own = {name: {} for name in SITE.partitions or {}}
        where = places(partitions={**own, "spot": {"preemptible": False}, "short": {"preemptible": True}})
        assert chosen(request(minutes=60), where) == "spot"
        assert chosen(request(minutes=200), where) == "normal"

    @pytest.mark.parametrize("mode", ["OFF", "GANG", "WITHIN"])
    def test_a_mode_that_stops_no_job_is_not_preemption(self, mode: str) -> None:
        site = SiteLimits(
            partitions={"a": PartitionLimits(60, preempt_mode=mode), "b": PartitionLimits(90, tier=9)}, nodes=None
        )
        assert chosen(request(minutes=30), places(site)) == "a"

    def test_only_a_higher_tier_preempts_where_all_partitions_have_the_clusters_mode(self) -> None:
        partitions = {
            "low": PartitionLimits(60, preempt_mode="REQUEUE", tier=1),
            "high": PartitionLimits(90, preempt_mode="REQUEUE", tier=2),
        }
        assert chosen(request(minutes=30), places(SiteLimits(partitions=partitions))) == "high"

    def test_the_accounts_of_a_partition(self) -> None:
        assert chosen(request(minutes=5)) == "short"
        assert chosen(request(minutes=5), account="physics") == "staff"

    @pytest.mark.parametrize(
        "limits",
        [
            PartitionLimits(60, accounts=("other",)),
            PartitionLimits(60, denied_accounts=("lab",)),
            PartitionLimits(60, qos_names=("high",)),
            PartitionLimits(60, denied_qos=("normal",)),
            PartitionLimits(60, groups=("staff", "physics")),
        ],
    )
    def test_who_may_use_it(self, limits: PartitionLimits) -> None:
        site = SiteLimits(
            partitions={"closed": limits, "open": PartitionLimits(120)},
            associations=(Association("lab", default_qos="normal"),),
            groups=("lab",),
        )
        assert chosen(request(minutes=30), places(site)) == "open"

    def test_accounts_that_are_for_one_partition(self) -> None:
        site = replace(SITE, associations=(Association("lab", partition="normal"), Association("lab", partition="gpu")))
        assert chosen(request(minutes=30), places(site)) == "normal"

    def test_only_those_that_the_configuration_lists_and_that_slurm_has(self) -> None:
        where = places(partitions={"normal": {}, "long": {}, "gone": {"limits": {"time_minutes": 1000}}})
        assert chosen(request(minutes=30), where) == "normal"
        assert chosen(request(minutes=30), places(partitions={"short": {"auto": False}, "long": {}})) == "long"

    def test_the_configurations_limits_are_kept(self) -> None:
        where = places(
            limits={"memory_mb": 100_000},
            partitions={
                "short": {"limits": {"time_minutes": 60}},
                "normal": {},
                "bigmem": {"limits": {"memory_mb": 1_000_000}},
            },
        )
        assert chosen(request(minutes=90), where) == "normal"
        assert chosen(request(memory_mb=150_000), where) == "bigmem"

    def test_what_the_configuration_says_is_enough_where_slurm_says_nothing(self) -> None:
        where = places(
            SiteLimits(),
            partitions={
                "a": {"limits": {"time_minutes": 60}},
                "g": {"limits": {"time_minutes": 30, "gpus": 2}},
                "b": {"limits": {"time_minutes": 600, "memory_mb": 64_000}},
            },
        )
        assert chosen(request(minutes=30), where) == "a"
        assert chosen(request(), where) == "b"
        assert chosen(request(minutes=30, gpus=2), where) == "g"
        refused(request(minutes=30, gpus=3), where)


class TestNothingFits:
    def test_the_request_and_each_partitions_limit_are_named(self) -> None:
        where = places(partitions={"normal": {}, "gpu": {}, "spot": {}, "short": {"auto": False}})
        error = refused(request(memory_mb=500_000, minutes=3000), where)
        assert (error.transient, str(error)) == (
            False,
            "no partition takes a job of qsirecon (8 cores, 500000 MiB, 3000 min, 0 GPUs). gpu: for jobs on GPUs; "
            "normal: at most 48 cores, 192000 MiB, 2880 min, 0 GPUs; short: its settings say `auto: false`; "
            "spot: its jobs may be stopped for others'",
        )
        assert "pipelines.qsirecon" in error.hint

    @pytest.mark.parametrize("state", ["DOWN", "DRAIN", "INACTIVE"])
    def test_one_that_is_closed_for_now_is_waited_for(self, state: str) -> None:
        partitions = {**(SITE.partitions or {}), "long": PartitionLimits(time_minutes=10_080, state=state, tier=10)}
        where = places(replace(SITE, partitions=partitions))
        error = refused(request(minutes=5000), where)
        assert (error.transient, str(error)) == (True, f"only long would take it, and is {state} at present")
        assert chosen(request(), where) == "normal"

    def test_slurms_silence_is_no_answer(self) -> None:
        assert refused(request(), places(SiteLimits())).transient


class TestTheRequestThatIsMade:
    def test_it_says_where_it_goes_and_is_not_cut_under_auto(self) -> None:
        assert places().placed(pipeline(), request()) == replace(request(), partition="normal")
        old = replace(request(), partition="long")
        assert places().placed(pipeline(), old).partition == "normal"

    def test_in_a_named_partition_it_is_cut(self) -> None:
        made = places().placed(pipeline(partition="normal"), request(64, 1_000_000, 5000))
        assert made == Resources(48, 192_000, 2880, 0, "normal")
        made = places(SiteLimits(), limits={"cpus": 4}).placed(pipeline(partition="normal"), request())
        assert made == replace(request(cpus=4), partition="normal")

    def test_where_none_is_named_slurm_decides_but_for_a_default_one_that_has_settings(self) -> None:
        assert places(partition=None).placed(pipeline(), request()).partition == ""
        assert places(partition=None, partitions={"normal": {}}).placed(pipeline(), request()).partition == "normal"
        assert places(partition=None, partitions={"long": {}}).placed(pipeline(), request()).partition == ""

    def test_the_gpus_of_the_partition_are_asked_for(self) -> None:
        own = {"gpu": {"gres": "gpu:v100:2"}}
        assert places(partitions=own).placed(pipeline(partition="gpu"), request()).gpus == 2
        assert places(partitions=own).placed(pipeline(partition="gpu", gpus=1), request(gpus=1)).gpus == 1
        assert "for jobs on GPUs" in str(refused(request(), places(partitions=own)))

    def test_the_partitions_account_and_qos_count(self) -> None:
        where = places(account="lab", partitions={"normal": {"account": "mri", "qos": "day"}})
        found = where.of(pipeline(), request())
        assert (found.account, found.partition, found.qos) == ("mri", "normal", "day")


class TestHowFarItMayGrow:
    def test_under_auto_up_to_the_largest_that_takes_the_rest(self) -> None:
        found = places().limits(pipeline(), request())
        assert found == Limits(cpus=64, memory_mb=1_500_000, time_minutes=10_080)
        found = places().limits(pipeline(), request(minutes=5000))
        assert (found.memory_mb, found.time_minutes) == (192_000, 10_080)
        found = places().limits(pipeline(), request(memory_mb=500_000))
        assert (found.memory_mb, found.time_minutes) == (1_500_000, 2880)
        assert places().limits(pipeline(), request(cpus=16, gpus=2)).memory_mb == 384_000

    def test_a_partition_that_is_closed_for_now_may_be_grown_into(self) -> None:
        partitions = {**(SITE.partitions or {}), "bigmem": PartitionLimits(2880, state="DOWN", tier=10)}
        found = places(replace(SITE, partitions=partitions)).limits(pipeline(), request())
        assert found.memory_mb == 1_500_000

    def test_without_any_limit_there_is_none(self) -> None:
        where = places(SiteLimits(partitions={"a": PartitionLimits(), "b": PartitionLimits(60)}))
        assert where.limits(pipeline(), request()) == Limits()

    def test_what_fits_nowhere_does_not_grow(self) -> None:
        asked = request(memory_mb=500_000, minutes=5000)
        found = places().limits(pipeline(), asked)
        assert (found.memory_mb, found.time_minutes) == (192_000, 2880)

    def test_in_a_named_partition_up_to_its_nodes_and_limits(self) -> None:
        assert places().limits(pipeline(partition="normal"), request()) == Limits(
            cpus=48, memory_mb=192_000, time_minutes=2880
        )
        site = replace(SITE, qos={"day": QosLimits(time_minutes=1440)})
        assert places(site).limits(pipeline(partition="normal", qos="day"), request()).time_minutes == 1440
        site = replace(SITE, associations=(Association("lab", time_minutes=700),))
        assert places(site).limits(pipeline(partition="normal"), request()).time_minutes == 700

    def test_in_a_partition_that_slurm_does_not_know_up_to_the_configurations_limits(self) -> None:
        where = places(limits={"memory_mb": 50_000})
        assert where.limits(pipeline(partition="a,b"), request()) == Limits(memory_mb=50_000)


def test_the_number_of_nodes_is_that_of_the_chosen_partition() -> None:
    site = replace(SITE, partitions={"a": PartitionLimits(60, nodes=3), "b": PartitionLimits(120, nodes=7)}, nodes=None)
    assert [places(site).nodes(pipeline(), request(minutes=minutes)) for minutes in (60, 90)] == [3, 7]


def test_features() -> None:
    assert with_features((THIN, FAT), None) == (THIN, FAT)
    assert with_features((THIN, FAT), "ib & avx2") == (THIN,)
    assert with_features((THIN, FAT), "ib|none") == (THIN,)
    assert with_features((THIN, FAT), "none") == ()
