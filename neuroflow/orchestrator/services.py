"""The parts of one neuroflow, built once from a configuration and passed down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from neuroflow.cluster.base import Cluster, get_cluster
from neuroflow.cluster.folders import Folders, LocalFolders
from neuroflow.cluster.local import LocalCluster
from neuroflow.cluster.login_node import get_login_node
from neuroflow.cluster.metered import MeteredTransport
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.errors import ConfigError
from neuroflow.orchestrator.folders import make_folders
from neuroflow.orchestrator.registry import Pipeline, Registry, get_registry

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig


SLURM_BUDGET = "slurm"
# Which configuration the workers read when they started, as the last one of them said it.
WORKER_CONFIG_KEY = "worker_config"
# What the last look at the cluster found, and when the next one is due.
POLL_KEY = "poll"
# What the last scan found.
SCAN_KEY = "scan"


@dataclass(frozen=True)
class SlurmMeter:
    """The budget of SLURM calls that all processes share, in the state database."""

    state: StateManager
    per_minute: float

    def take(self) -> float:
        """Take one call; return 0, or after how many seconds to ask again."""
        return self.state.take_call(SLURM_BUDGET, per_minute=self.per_minute)

    def record(self, program: str, *, seconds: float, failed: bool) -> None:
        """Count a call."""
        self.state.record_call(program, seconds=seconds, failed=failed)


@dataclass(frozen=True)
class Services:
    """Configuration, state, pipelines and the clusters that execute attempts."""

    config: NeuroflowConfig
    database: Database
    state: StateManager
    registry: Registry
    clusters: Mapping[str, Cluster]  # by an attempt's `where`: slurm, local, worker or voxelops
    clock: Callable[[], datetime]

    @classmethod
    def from_config(cls, config: NeuroflowConfig, *, check_schema: bool = True) -> Services:
        """Connect to the database and build everything that the steps need.

        Raises:
            StateError: when the database has no schema, or one of another version.
        """
        make_folders(config)
        database = Database.from_config(config)
        if check_schema:
            database.check()
        clock = utc_now
        state = StateManager(database, clock=clock)
        meter = SlurmMeter(state, per_minute=config.cluster.calls_per_minute)
        login_node = get_login_node(config)
        transport = MeteredTransport(login_node.transport, meter)
        return cls(
            config=config,
            database=database,
            state=state,
            registry=get_registry(config),
            clusters={
                config.cluster.kind: get_cluster(config, transport=transport, login_node=login_node),
                "worker": LocalCluster(config),
                "voxelops": LocalCluster(config),
            },
            clock=clock,
        )

    def workers_are_outdated(self) -> bool:
        """Tell whether the workers were started with another configuration than this one; they don't read it again."""
        value = self.state.get_value(WORKER_CONFIG_KEY)
        return value is not None and value[0].get("digest") != self.config.digest

    def where(self, pipeline: Pipeline) -> str:
        """Name the cluster that executes a pipeline's attempts: slurm, local, worker or voxelops."""
        return self.config.cluster.kind if pipeline.where == "cluster" else pipeline.where

    def cluster(self, where: str) -> Cluster:
        """Return the cluster that an attempt was made on.

        Raises:
            ConfigError: when the site has been changed while its attempts were open.
        """
        if where in self.clusters:
            return self.clusters[where]
        raise ConfigError(
            f"an open attempt was made with cluster.kind '{where}', which is now '{self.config.cluster.kind}'",
            hint=f"set cluster.kind back to '{where}' until its runs have ended, or cancel them first",
        )

    def folders(self, where: str) -> Folders:
        """Return where the folders of the attempts of a cluster are, though the site may have been changed since."""
        return self.clusters[where].folders if where in self.clusters else LocalFolders()

    def holds(self) -> dict[str, str]:
        """Return the pipelines that are held, with the reason."""
        found = {}
        for name in self.registry.names():
            hold = self.state.pipeline_hold(name)
            if hold is not None and hold.held:
                found[name] = hold.reason
        return found

    def hold(self, pipeline: str, *, reason: str, actor: str = "neuroflow") -> bool:
        """Hold a pipeline; False when it was held already."""
        return self.state.hold_pipeline(pipeline, reason=reason, actor=actor)

    def release(self, pipeline: str, *, reason: str, actor: str = "neuroflow") -> bool:
        """Let a held pipeline go on; False when it was not held."""
        return self.state.release_pipeline(pipeline, reason=reason, actor=actor)


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)
