"""A connection to the real sshd, and one through a proxy that cuts it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.cluster.ssh.connection import SshConnection
from neuroflow.cluster.ssh.transport import SshTransport
from tests.support.cutting_proxy import CuttingProxy, proxy_to
from tests.support.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[CuttingProxy]:
    with proxy_to(sshd.port) as made:
        yield made


@pytest.fixture
def connection(sshd: Sshd, proxy: CuttingProxy) -> Iterator[SshConnection]:
    """A way to the sshd, through the proxy."""
    made = SshConnection(sshd.settings(port=proxy.port), sleep=lambda _: None)
    yield made
    made.close()
    sshd.write_profile("")  # as other tests expect it


@pytest.fixture
def transport(connection: SshConnection) -> SshTransport:
    return SshTransport(connection, slack_seconds=3.0)


@pytest.fixture
def cluster_python(tmp_path: Path) -> str:
    """A Python with this source tree in it, as a cluster has its own."""
    return str(write_python(tmp_path / "cluster python"))


def write_python(path: Path, *, root: Path = ROOT) -> Path:
    """Write a Python that finds neuroflow in a source tree, whatever its environment says."""
    words = ("exec", "env", f"PYTHONPATH={root}", sys.executable)
    path.write_text(f'#!/bin/sh\n{shlex.join(words)} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path
