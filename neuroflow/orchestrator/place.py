"""Where an attempt works, and what the folders that it needs are called there."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from neuroflow.config import NeuroflowConfig
from neuroflow.config.path_map import PathMap
from neuroflow.config.paths import Paths


@dataclass(frozen=True)
class Place:
    """This machine, or a cluster that sees the same folders by other names."""

    config: NeuroflowConfig
    names: PathMap
    is_remote: bool
    python: str  # with neuroflow in it

    @classmethod
    def of(cls, config: NeuroflowConfig, *, where: str) -> Self:
        """Return the place where attempts of a cluster work, by their `where`."""
        cluster = config.cluster
        remote = cluster.is_remote and where == cluster.kind
        python = cluster.python if where == "slurm" else None
        return cls(config, PathMap(cluster.ssh.paths if remote else {}), remote, python or sys.executable)

    def name(self, path: Path | str) -> str:
        """Return what a path of this machine is called there."""
        return self.names.there(str(path))

    def paths(self) -> Paths:
        """Return the folders of the data by the names that they have there."""
        paths = self.config.paths
        named = {key: Path(self.name(value)) for key, value in dict(paths).items() if isinstance(value, Path)}
        return paths.model_copy(update=named)

    def attempt_folder(self, token: str) -> str:
        """Return the folder of an attempt."""
        return f"{self._state('attempts', self.config.attempts_dir)}/{token}"

    def array_folder(self, token: str) -> str:
        """Return the folder of an array of attempts."""
        return f"{self._state('arrays', self.config.arrays_dir)}/{token}"

    def _state(self, name: str, local: Path) -> str:
        return f"{self.config.cluster.ssh.state_dir}/{name}" if self.is_remote else str(local)
