"""Where SLURM's programs are called, and the attempts' folders are seen: this machine, or one behind SSH."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroflow.cluster.folders import Folders, LocalFolders
from neuroflow.cluster.transport import LocalTransport, Transport

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig


@dataclass(frozen=True)
class LoginNode:
    """One way to a cluster."""

    transport: Transport
    folders: Folders
    user: str  # whose jobs they are, as the cluster calls that account


def get_login_node(config: NeuroflowConfig) -> LoginNode:
    """Return the way to the cluster that a configuration names; nothing is connected before it is used.

    Raises:
        ConfigError: when ssh's own configuration can't be read.
    """
    if not config.cluster.is_remote:
        return LoginNode(LocalTransport(), LocalFolders(), pwd.getpwuid(os.getuid()).pw_name)
    # paramiko takes a while to import, and most sites do without it.
    from neuroflow.cluster.ssh.connection import connection_to
    from neuroflow.cluster.ssh.folders import SshFolders
    from neuroflow.cluster.ssh.transport import SshTransport

    connection = connection_to(config.cluster.ssh)
    transport = SshTransport(connection)
    python = str(config.cluster.python)
    folders = SshFolders(connection, transport, python=python, timeout=config.cluster.command_timeout_seconds)
    return LoginNode(transport, folders, connection.user)
