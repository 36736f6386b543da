"""Ask SLURM what it takes, in one order for all who want to know: those who submit, and those who learn a site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neuroflow.cluster.site_limits import (
    CONFIG_COMMAND,
    GROUPS_COMMAND,
    NODES_COMMAND,
    PARTITIONS_COMMAND,
    QOS_COMMAND,
    RESERVATIONS_COMMAND,
    are_for_groups,
    associations_command,
    gathered,
)
from neuroflow.domain import SiteLimits

# Runs a command and returns its answer; None where none came.
Ask = Callable[[tuple[str, ...]], str | None]


@dataclass(frozen=True)
class SiteAnswers:
    """What SLURM's commands wrote; None where there was no answer, or none was asked for."""

    config: str | None
    partitions: str | None
    nodes: str | None
    groups: str | None
    reservations: str | None
    associations: str | None
    qos: str | None

    def limits(self) -> SiteLimits:
        """Return what they say."""
        return gathered(
            config=self.config,
            partitions=self.partitions,
            nodes=self.nodes,
            groups=self.groups,
            reservations=self.reservations,
            associations=self.associations,
            qos=self.qos,
        )


def ask_site(
    ask: Ask, *, user: str, keeps_accounts: Callable[[str | None], bool], reservations: bool = True
) -> SiteAnswers:
    """Ask each command once, in seven calls at most.

    Args:
        ask: runs a command.
        user: whose limits they are.
        keeps_accounts: tells, by the answer about the controller's configuration, whether sacctmgr is worth asking.
        reservations: whether to ask for those, which matter to jobs and not to what a site is like.
    """
    config = ask(CONFIG_COMMAND)
    partitions = ask(PARTITIONS_COMMAND)
    nodes = ask(NODES_COMMAND)
    reserved = ask(RESERVATIONS_COMMAND) if reservations else None
    groups = ask(GROUPS_COMMAND) if partitions is not None and are_for_groups(partitions) else None
    associations = qos = None
    if keeps_accounts(config):
        associations = ask(associations_command(user))
        qos = ask(QOS_COMMAND)
    return SiteAnswers(config, partitions, nodes, groups, reserved, associations, qos)
