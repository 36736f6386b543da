"""Nodes that took runs down are avoided, some of them, for a while."""

from __future__ import annotations

import pytest

from neuroflow.domain import NodeFailure
from neuroflow.orchestrator.nodes import MOST_NODES, nodes_to_avoid


def failures(*pairs: tuple[str, int]) -> list[NodeFailure]:
    return [NodeFailure(host, run_id) for host, run_id in pairs]


def test_a_run_avoids_the_node_that_failed_it_and_the_others_do_not() -> None:
    assert nodes_to_avoid(failures(("n1", 7)), run_id=7) == ("n1",)
    assert nodes_to_avoid(failures(("n1", 7)), run_id=8) == ()


def test_all_avoid_a_node_that_failed_two_runs() -> None:
    assert nodes_to_avoid(failures(("n1", 7), ("n1", 9)), run_id=8) == ("n1",)
    assert nodes_to_avoid(failures(("n1", 7), ("n1", 7)), run_id=8) == (), "one run alone proves little"


@pytest.mark.parametrize(("nodes", "expected"), [(None, MOST_NODES), (4, 2), (3, 1), (1, 0), (1000, MOST_NODES)])
def test_never_more_than_half_of_the_partition_is_avoided(nodes: int | None, expected: int) -> None:
    lost = failures(*((f"n{number}", 7) for number in range(20)))

    assert nodes_to_avoid(lost, run_id=7, nodes=nodes) == tuple(f"n{number}" for number in range(expected))
