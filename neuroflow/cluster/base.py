"""The contract of a cluster: something that executes attempts and can be asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from neuroflow.cluster.folders import Folders
from neuroflow.cluster.local import LocalCluster
from neuroflow.cluster.login_node import LoginNode
from neuroflow.cluster.request import ArrayRequest, JobRequest
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.domain import AttemptRecord, QueueRow, Sighting, SiteLimits

if TYPE_CHECKING:
    from neuroflow.cluster.transport import Transport
    from neuroflow.config import NeuroflowConfig

__all__ = ["ArrayRequest", "Cluster", "JobRequest", "get_cluster"]


class Cluster(Protocol):
    """Execute attempts, each once, and tell what became of them."""

    @property
    def folders(self) -> Folders:
        """The folders of its attempts, by the names that it knows them by."""
        ...

    def submit(self, job: JobRequest) -> str:
        """Hand a job over and return its id.

        Raises:
            SubmissionRefused: when no job was made.
            SubmissionUncertain: when one may have been; `sight` tells.
        """
        ...

    def submit_array(self, array: ArrayRequest) -> list[str]:
        """Hand many jobs over in one call and return their ids, in order.

        Raises:
            SubmissionRefused: when none was made.
            SubmissionUncertain: when all of them may have been.
        """
        ...

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        """Ask all witnesses about all attempts at once; the answers are by token. Never raises for a silent witness."""
        ...

    def cancel(self, attempts: Sequence[AttemptRecord]) -> None:
        """Cancel the attempts' jobs; one that has ended already is no error.

        Raises:
            ClusterError: when the cluster did not take the order.
        """
        ...

    def jobs_in_queue(self) -> Mapping[tuple[str, str], int] | None:
        """Return how many jobs of the user wait or run, whoever submitted them, by account and QOS; None: not known."""
        ...

    def job_names(self) -> frozenset[str]:
        """Return the names of the user's jobs that wait or run, whoever submitted them.

        Raises:
            ClusterError: when the cluster does not answer.
        """
        ...

    def jobs(self, attempts: Sequence[AttemptRecord]) -> Mapping[str, QueueRow]:
        """Ask for the jobs of a few attempts alone, in one call; by token, those that are listed.

        Raises:
            ClusterError: when the cluster does not answer in a few seconds.
        """
        ...

    def render(self, job: JobRequest) -> str:
        """Return what would be submitted, as text, without writing anything."""
        ...

    def revoke(self, attempt: AttemptRecord) -> bool:
        """Make sure that an attempt is never executed from now on; False when a job executes, or executed, it."""
        ...

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        """Make sure that attempts which are given up neither work now nor ever again; harmless when repeated.

        Raises:
            ClusterError: when that is not sure: their runs must not get further attempts yet.
        """
        ...

    def site_limits(self) -> SiteLimits:
        """Ask what the cluster takes, once an hour or so; a part that is not answered is None. Never raises."""
        ...


def get_cluster(
    config: NeuroflowConfig, *, transport: Transport | None = None, login_node: LoginNode | None = None
) -> Cluster:
    """Return the cluster that a configuration names.

    Args:
        transport: instead of the login node's own.
    """
    if config.cluster.kind == "slurm":
        return SlurmCluster(config, transport=transport, login_node=login_node)
    return LocalCluster(config)
