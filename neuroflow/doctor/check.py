"""The contract of a check: what it needs, what it may find, and what it is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.cluster.login_node import LoginNode, get_login_node
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.cluster.transport import CompletedCommand, LocalTransport, Transport
from neuroflow.errors import ConfigError
from neuroflow.orchestrator.placement import Places

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.domain import SiteLimits

COMMAND_SECONDS = 30.0


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    SKIPPED = "skipped"
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """One thing that a check has seen."""

    code: str  # stable; of what is well or was skipped, the check's own name
    severity: Severity
    check: str
    what: str  # with the value that was seen
    why: str = ""  # it matters
    mend: str = ""  # the command, or the edit
    host: str = ""
    topic: str = ""


@dataclass(frozen=True)
class Kind:
    """Something that can be wrong, wherever it is seen; `mend` may hold {names} that the finding fills in."""

    code: str
    severity: Severity
    title: str  # what it is, in general
    why: str
    mend: str

    def seen(self, what: str, **values: object) -> Finding:
        """Return the finding of a case of it, with the values that its remedy names."""
        return Finding(self.code, self.severity, "", what, self.why, self.mend.format(**values))


def error(code: str, title: str, *, why: str, mend: str) -> Kind:
    """Return a kind of finding that keeps runs from working."""
    return Kind(code, Severity.ERROR, title, why, mend)


def warning(code: str, title: str, *, why: str, mend: str) -> Kind:
    """Return a kind of finding that one may live with."""
    return Kind(code, Severity.WARNING, title, why, mend)


def well(what: str) -> Finding:
    """Return the finding that something is in order."""
    return Finding("", Severity.OK, "", what)


def skipped(why: str) -> Finding:
    """Return the finding that something was not looked at."""
    return Finding("", Severity.SKIPPED, "", why)


@dataclass(frozen=True)
class Context:
    """What every check is given: the configuration, and the outside world where a test needs another one."""

    load: Callable[[], NeuroflowConfig]
    on_node: bool = False
    transport: Transport = field(default_factory=LocalTransport)  # of this machine
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    root: Path = Path("/")  # under which /proc and /sys are read

    @cached_property
    def config(self) -> NeuroflowConfig:
        """The configuration, whether or not the files are there that it names."""
        return self.load()

    @property
    def loads(self) -> bool:
        """Whether the configuration can be read at all."""
        try:
            return self.config is not None
        except ConfigError:
            return False

    @cached_property
    def login_node(self) -> LoginNode:
        """Where SLURM's commands and the jobs' own folders are: here, or behind SSH.

        Raises:
            ConfigError: when ssh's own configuration can't be read.
        """
        node = get_login_node(self.config)
        return node if self.config.cluster.is_remote else replace(node, transport=self.transport)

    @cached_property
    def site(self) -> SiteLimits:
        """What SLURM says that it takes; asked once."""
        return SlurmCluster(self.config, login_node=self.login_node).site_limits()

    @cached_property
    def places(self) -> Places:
        """Where jobs can go."""
        return Places(self.config.cluster, self.site)

    def run(self, *argv: str, seconds: float = COMMAND_SECONDS, input: str | None = None) -> CompletedCommand:
        """Run a command on this machine.

        Raises:
            CommandError: when it could not be started, or did not end in time.
        """
        return self.transport.run(argv, timeout=seconds, input=input)

    def ask(self, *argv: str, seconds: float = COMMAND_SECONDS, input: str | None = None) -> CompletedCommand:
        """Run a command on the login node, whichever machine that is.

        Raises:
            CommandError: when it could not be started, or did not end in time.
        """
        return self.login_node.transport.run(argv, timeout=seconds, input=input)


def always(_context: Context) -> str:
    """Say that a check applies everywhere."""
    return ""


def on_slurm(context: Context) -> str:
    """Say why a check does not apply where no SLURM is configured."""
    return "" if context.config.cluster.kind == "slurm" else "cluster.kind is `local`"


def behind_ssh(context: Context) -> str:
    """Say why a check of the way to the login node does not apply."""
    return "" if context.config.cluster.is_remote else "cluster.transport is not `ssh`"


# Of what only the cluster's own machines have.
ON_CLUSTER = "it is on the cluster: `neuroflow doctor --node` looks there"


def where_jobs_see_it(context: Context) -> str:
    """Say why a file of the jobs can't be looked at from a machine that drives the cluster over SSH."""
    return ON_CLUSTER if context.config.cluster.is_remote else ""


@dataclass(frozen=True)
class Check:
    """One check of a topic."""

    name: str
    topic: str
    about: str
    run: Callable[[Context], Iterable[Finding]]
    kinds: tuple[Kind, ...]  # the only ones that it may report
    needs: tuple[str, ...] = ("configuration",)  # checks that must have found no error
    applies: Callable[[Context], str] = always  # why it does not apply; empty when it does
    on_node: bool = False  # part of --node as well
    quick: bool = False  # part of the look before the first submission
    seconds: float = 60.0

    def own(self, finding: Finding, *, host: str) -> Finding:
        """Return a finding with the check's name on it."""
        return replace(finding, code=finding.code or self.name, check=self.name, topic=self.topic, host=host)


def moment(seconds: float) -> datetime:
    """Return a time of a clock as a date in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
