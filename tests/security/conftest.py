"""A folder that other users can enter, and such a user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# The tests' own Python may lie in root's folder.
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable


@dataclass(frozen=True)
class Stranger:
    """Another user of the same machine."""

    name: str

    @property
    def uid(self) -> int:
        """The user's number."""
        return pwd.getpwnam(self.name).pw_uid

    def runs(self, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run Python code as this user."""
        return subprocess.run(
            [PYTHON, "-I", "-c", code, *map(str, arguments)],
            user=self.name,
            group=pwd.getpwnam(self.name).pw_gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def is_refused(self, code: str, *arguments: object) -> bool:
        """Tell whether the system did not let this user do something; anything but that or success is an error."""
        answer = self.runs(code, *arguments)
        assert answer.returncode == 0 or "Permission" in answer.stderr, answer.stderr
        return answer.returncode != 0


@pytest.fixture
def stranger(ordinary_user: str) -> Stranger:
    """Another user; only root can act as one."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    return Stranger(ordinary_user)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter and read, as a project's folder on a cluster often is."""
    folder = Path(tempfile.mkdtemp(prefix="nf-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
