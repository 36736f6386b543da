"""Which nodes a run's next attempt is kept away from, for a while."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from neuroflow.domain import NodeFailure
from neuroflow.orchestrator.services import Services

# So many runs must have lost a node before the others are kept away from it, too.
RUNS_THAT_CONDEMN = 2
# Were a whole rack to fail, excluding all of it could leave nowhere to run.
MOST_NODES = 8


def nodes_to_avoid(failures: Sequence[NodeFailure], *, run_id: int, nodes: int | None = None) -> tuple[str, ...]:
    """Return the nodes that failed this run, or several others; the last to fail first, a few at most.

    Args:
        failures: the last one first.
        nodes: of the partition, where that is known: never more than half of them are avoided.
    """
    most = MOST_NODES if nodes is None else min(MOST_NODES, nodes // 2)
    lost: dict[str, set[int]] = defaultdict(set)
    for failure in failures:
        lost[failure.host].add(failure.run_id)
    bad = (host for host, runs in lost.items() if run_id in runs or len(runs) >= RUNS_THAT_CONDEMN)
    return tuple(bad)[:most]


def excluded_nodes(services: Services, run_id: int, *, where: str, nodes: int | None) -> tuple[str, ...]:
    """Return the nodes that a run's next attempt is kept away from; each comes back by itself.

    Args:
        where: the cluster that it goes to.
        nodes: how many there are, where that is known.
    """
    hours = services.config.cluster.exclude_node_hours
    if not hours:
        return ()
    since = services.clock() - timedelta(hours=hours)
    failures = services.state.node_failures(where, since=since)
    return nodes_to_avoid(failures, run_id=run_id, nodes=nodes) if failures else ()
