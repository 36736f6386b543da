"""What SLURM says that it takes is read as recorded; what it does not say limits nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuroflow.cluster.site_limits import (
    gathered,
    minutes,
    parse_associations,
    parse_config,
    parse_nodes,
    parse_partitions,
    parse_qos,
    parse_reservations,
)
from neuroflow.cluster.site_limits_json import from_json, to_json
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.domain import Association, NodeGroup, PartitionLimits, QosLimits, SiteLimits
from tests.cluster_layer.builders import config_in
from tests.cluster_layer.fakes import Answer, FakeTransport, hung
from tests.cluster_layer.recordings import recorded

NODES_OF = {"long": "cn[001-100]", "capped": "cn[001-100]", "open": "gpu[1-4]"}


def test_the_controllers_configuration() -> None:
    assert parse_config(recorded("scontrol_config.txt")) == (1001, 10000, 60, True)
    assert parse_config(recorded("scontrol_config_by_hand.txt")) == (10001, 150000, 300, True)
    assert parse_config("") == (None, None, None, True)
    assert not parse_config("PreemptMode = REQUEUE\nPreemptType             = preempt/qos\n").preempts_by_tier


def test_partitions() -> None:
    limits, nodes = parse_partitions(recorded("scontrol_partitions.txt"))
    assert limits == {
        "main": PartitionLimits(time_minutes=2880, nodes=4, is_default=True, tier=10),
        "short": PartitionLimits(time_minutes=2, nodes=4, tier=20),
        "spot": PartitionLimits(time_minutes=1440, nodes=4, preempt_mode="REQUEUE"),
    }
    assert set(nodes.values()) == {"n[1-4]"}


def test_partitions_with_other_limits() -> None:
    limits, _ = parse_partitions(recorded("scontrol_partitions_by_hand.txt"))
    week = 7 * 24 * 60 + 12 * 60 + 30
    assert limits == {
        "long": PartitionLimits(week, memory_mb=192000, cpus=48, nodes=100, qos="partlong", is_default=True),
        "capped": PartitionLimits(240, memory_mb=128000, cpus=32, nodes=100),
        "open": PartitionLimits(nodes=4),  # memory by core, and no limit of cores
        "bare": PartitionLimits(),
    }


def test_who_may_use_a_partition_and_whether_it_is_up() -> None:
    limits, _ = parse_partitions(
        "PartitionName=gpu AllowGroups=mri,staff AllowAccounts=lab,other AllowQos=normal PriorityTier=2 State=DRAIN\n"
        "PartitionName=rest AllowGroups=ALL DenyAccounts=lab DenyQos=high,low State=DOWN PreemptMode=CANCEL\n"
    )
    gpu, rest = limits["gpu"], limits["rest"]
    assert (gpu.groups, gpu.accounts, gpu.qos_names) == (("mri", "staff"), ("lab", "other"), ("normal",))
    assert (gpu.tier, gpu.state, rest.state, rest.preempt_mode) == (2, "DRAIN", "DOWN", "CANCEL")
    assert (rest.groups, rest.accounts, rest.qos_names) == (None, None, None)
    assert (rest.denied_accounts, rest.denied_qos) == (("lab",), ("high", "low"))


def test_kinds_of_nodes() -> None:
    assert parse_nodes(recorded("sinfo_nodes.txt")) == {
        name: (NodeGroup(16, 64000, nodes=4),) for name in ("main", "short", "spot")
    }
    assert parse_nodes(recorded("sinfo_nodes_by_hand.txt")) == {
        "long": (NodeGroup(48, 192000, 90, features=("skylake", "ib")), NodeGroup(64, 1500000, 10, features=("ib",))),
        "open": (NodeGroup(32, 256000, 4, "gpu:a100:4(S:0-1)", ("a100",)),),
    }


def test_associations_and_qos() -> None:
    assert parse_associations(recorded("sacctmgr_associations.txt")) == (Association("lab"), Association("root"))
    assert parse_qos(recorded("sacctmgr_qos.txt")) == {"normal": QosLimits()}
    assert parse_associations(recorded("sacctmgr_associations_by_hand.txt")) == (
        Association("lab", default_qos="normal", max_submit=1000),
        Association("lab", "long", "longqos", max_submit=100, group_submit=5000, time_minutes=3 * 24 * 60),
        Association("other", max_submit=2000),
    )
    assert parse_qos(recorded("sacctmgr_qos_by_hand.txt")) == {
        "normal": QosLimits(500),
        "longqos": QosLimits(group_submit=300, time_minutes=2 * 24 * 60),
        "partlong": QosLimits(50, 80),
        "high": QosLimits(),
    }


def test_reservations() -> None:
    assert parse_reservations(recorded("scontrol_no_reservations.txt"), nodes_of=NODES_OF) == ()
    found = {
        one.name: one for one in parse_reservations(recorded("scontrol_reservations_by_hand.txt"), nodes_of=NODES_OF)
    }
    assert {name: (one.is_maintenance, one.all_nodes, one.partitions) for name, one in found.items()} == {
        "maint_march": (True, True, ("capped", "long", "open")),
        "maint_long": (True, False, ("capped", "long")),
        "maint_part": (True, False, ("open",)),
        "course": (False, False, ()),
        "maint_few": (True, False, ()),
    }
    assert found["maint_march"].start == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert found["maint_march"].end == datetime(2026, 3, 1, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2-00:00:00", 2880),
        ("1-12", 36 * 60),
        ("1-00:30", 24 * 60 + 30),
        ("00:02:30", 2),
        ("90", 90),
        ("90:30", 90),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("NONE", None),
        ("Partition_Limit", None),
        ("", None),
    ],
)
def test_time_limits(text: str, expected: int | None) -> None:
    assert minutes(text) == expected


def answering(command: tuple[str, ...]) -> str:
    name = {"config": "scontrol_config", "partition": "scontrol_partitions", "reservation": "scontrol_reservations"}
    name |= {"assoc": "sacctmgr_associations", "qos": "sacctmgr_qos"}
    return recorded(f"{name[command[command.index('show') + 1]]}_by_hand.txt")


def all_limits() -> SiteLimits:
    return gathered(
        config=recorded("scontrol_config_by_hand.txt"),
        partitions=recorded("scontrol_partitions_by_hand.txt"),
        reservations=recorded("scontrol_reservations_by_hand.txt"),
        associations=recorded("sacctmgr_associations_by_hand.txt"),
        qos=recorded("sacctmgr_qos_by_hand.txt"),
        nodes=recorded("sinfo_nodes_by_hand.txt"),
    )


def test_a_cluster_is_asked_in_six_calls(tmp_path: Path) -> None:
    transport = FakeTransport(scontrol=answering, sacctmgr=answering, sinfo=recorded("sinfo_nodes_by_hand.txt"))
    limits = SlurmCluster(config_in(tmp_path, kind="slurm"), transport=transport).site_limits()
    assert limits == all_limits()
    assert sorted(transport.programs()) == ["sacctmgr"] * 2 + ["scontrol"] * 3 + ["sinfo"]


def test_the_users_groups_are_asked_for_where_a_partition_is_for_some_of_them(tmp_path: Path) -> None:
    def scontrol(command: tuple[str, ...]) -> str:
        return "PartitionName=gpu AllowGroups=mri\n" if "partition" in command else answering(command)

    transport = FakeTransport(scontrol=scontrol, sacctmgr="", sinfo="", id="lab mri\n")
    assert SlurmCluster(config_in(tmp_path, kind="slurm"), transport=transport).site_limits().groups == ("lab", "mri")


def test_what_is_not_answered_is_not_known(tmp_path: Path) -> None:
    def scontrol(command: tuple[str, ...]) -> Answer | str:
        return hung() if "partition" in command else answering(command)

    transport = FakeTransport(scontrol=scontrol, sacctmgr=hung(), sinfo=hung())
    limits = SlurmCluster(config_in(tmp_path, kind="slurm"), transport=transport).site_limits()
    assert (limits.partitions, limits.nodes, limits.associations, limits.qos) == (None, None, None, None)
    assert (limits.max_array_size, len(limits.reservations or ())) == (10001, 5)


def test_a_site_without_accounting_is_not_asked_for_accounts(tmp_path: Path) -> None:
    transport = FakeTransport(scontrol=answering, sinfo="")
    limits = SlurmCluster(config_in(tmp_path, kind="slurm", accounting=False), transport=transport).site_limits()
    assert (limits.associations, limits.qos) == (None, None)


def test_limits_outlive_json() -> None:
    for limits in (all_limits(), SiteLimits()):
        assert from_json(json.loads(json.dumps(to_json(limits)))) == limits


@pytest.mark.parametrize("part", ["partitions", "nodes", "associations", "qos", "reservations", "max_job_count"])
def test_a_part_that_cannot_be_read_back_is_not_known(part: str) -> None:
    stored = {**to_json(all_limits()), part: "garbage", "of_a_later_release": 1}
    assert getattr(from_json(stored), part) is None
    stored[part] = [{"name": 1}, None, {"start": "never", "end": 3}]
    from_json(stored)
