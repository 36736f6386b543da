"""Write a command for a remote shell, and cut its answer out of what login scripts print."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from neuroflow.cluster.transport import KEPT_VARIABLES

# Sites set the PATH of SLURM in login scripts, so bash is asked to read them. Then the variables go that would change
# what SLURM does, as they do on this machine; functions such as `module` stay. The marks tell the answer from what the
# scripts printed, and bring the process id. timeout(1) ends a command whose connection is gone.
_SCRIPT = (
    f'for name in $(compgen -e); do case $name in {KEPT_VARIABLES}) ;; *) unset "$name" 2>/dev/null ;; esac; done; '
    'printf "%s %s\\n" "$1" "$$"; printf "%s\\n" "$1" >&2; shift; exec timeout -k 5 "$@"'
)


@dataclass(frozen=True)
class RemoteCommand:
    """A command, and the mark behind which its answer begins."""

    argv: tuple[str, ...]
    timeout: float
    mark: str = field(default_factory=lambda: f"neuroflow-{secrets.token_hex(8)}")

    def line(self) -> str:
        """Return what the user's login shell is given: bash, zsh, csh and fish read it alike."""
        words = ("/bin/bash", "-l", "-c", _SCRIPT, "neuroflow", self.mark, f"{self.timeout:g}", *self.argv)
        return "exec " + " ".join(quoted(word) for word in words)

    def stdout(self, raw: bytes) -> bytes | None:
        """Return the command's own output; None when it was not started."""
        found = self._after_mark(raw)
        return None if found is None else found[1]

    def stderr(self, raw: bytes) -> bytes:
        """Return the command's own error output, or all of it when it was not started."""
        found = self._after_mark(raw)
        return raw if found is None else found[1]

    def process_id(self, raw: bytes) -> int | None:
        """Return the process id of the command on its host, once its output has begun."""
        found = self._after_mark(raw)
        return int(found[0]) if found is not None and found[0].isdigit() else None

    def _after_mark(self, raw: bytes) -> tuple[bytes, bytes] | None:
        _, mark, rest = raw.partition(self.mark.encode())
        line, end, answer = rest.partition(b"\n")
        return (line.strip(), answer) if mark and end else None


def quoted(word: str) -> str:
    """Quote one word for the remote shell; `!` by itself, because csh replaces it between quotes, too."""
    return "\\!".join(shlex.quote(part) if part else "" for part in word.split("!")) or "''"


def quoted_line(argv: Sequence[str]) -> str:
    """Quote a plain command, without login scripts."""
    return " ".join(quoted(word) for word in argv)
