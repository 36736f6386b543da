"""Values that follow from the configuration: the URLs of the embedded database and the embedded Redis."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

EMBEDDED = "embedded"
# sockaddr_un.sun_path of Linux: 108 bytes with the closing zero.
LONGEST_SOCKET_BYTES = 107


def database_url(url: SecretStr, state_dir: Path) -> str:
    """Return the SQLAlchemy URL."""
    text = url.get_secret_value()
    if text == EMBEDDED:
        return f"sqlite:///{state_dir / 'neuroflow.db'}"
    # SQLAlchemy takes plain postgresql:// for psycopg2, which is not among our dependencies.
    return text.replace("postgresql://", "postgresql+psycopg://", 1) if text.startswith("postgresql://") else text


def redis_url(url: SecretStr, state_dir: Path, *, shared: bool = False) -> str:
    """Return the URL of broker and result backend."""
    socket = redis_socket(url, state_dir, shared=shared)
    if socket is None:
        return url.get_secret_value()
    return f"redis+socket://{quote(str(socket))}?virtual_host=0"


def redis_socket(url: SecretStr, state_dir: Path, *, shared: bool = False) -> Path | None:
    """Return where the embedded Redis listens, or None where another one is used.

    A path that is too long for a socket gives way to a private folder in /tmp. It depends on the user and the state
    folder alone: $XDG_RUNTIME_DIR is missing in a cron job, and goes away when the user logs out.
    """
    if url.get_secret_value() != EMBEDDED:
        return None
    socket = state_dir / "redis" / "redis.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:12]
    owner = "shared" if shared else os.getuid()
    return Path(f"/tmp/neuroflow-{owner}-{digest}/redis.sock")  # noqa: S108  # its folder's mode and owner are checked
