"""How Flower is started so that nobody else on a shared machine can use it."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.errors import NeuroflowError, UsageError

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

USER = "neuroflow"
PASSWORD_NAME = "password"  # noqa: S105
SOCKET_NAME = "flower.sock"
LONGEST_SOCKET_BYTES = 107
# Flower takes any of its options from here; they would open what is closed below.
_AUTH_VARIABLE = "FLOWER_BASIC_AUTH"


@dataclass(frozen=True)
class FlowerPlan:
    """Celery's arguments, further variables, and how a person gets there."""

    arguments: tuple[str, ...]
    how: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def flower_plan(config: NeuroflowConfig, *, port: int | None, address: str, is_open: bool) -> FlowerPlan:
    """Decide where Flower listens, and who may use it.

    Raises:
        UsageError: when Flower is not installed, or would be open to other machines without being asked to.
        NeuroflowError: when its folder can't be made.
    """
    from neuroflow.config.upkeep import is_loopback

    if importlib.util.find_spec("flower") is None:
        raise UsageError("Flower is not installed beside neuroflow", hint="pip install 'neuroflow[flower]'")
    if port is not None and not is_loopback(address) and not is_open:
        raise UsageError(
            f"--address: {address} can be reached from other machines, and Flower's password would cross the network "
            "unencrypted",
            hint="take 127.0.0.1 and an SSH tunnel, or say --open",
        )
    folder = _private(config.paths.state_dir / "flower")
    common = ("flower", "--persistent=False", f"--logging={config.logging.level.lower()}")
    if port is None:
        return _on_socket(folder, common)
    given = os.environ.get(_AUTH_VARIABLE)
    login = given or f"{USER}:{_password(folder)}"
    name = f"[{address}]" if ":" in address else address
    whose = f"the login in {_AUTH_VARIABLE}" if given else f"user {USER}, password in {folder / PASSWORD_NAME}"
    return FlowerPlan(
        (*common, f"--address={address}", f"--port={port}"),
        f"Flower: http://{name}:{port}, {whose}",
        {_AUTH_VARIABLE: login},
    )


def _on_socket(folder: Path, common: tuple[str, ...]) -> FlowerPlan:
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) > LONGEST_SOCKET_BYTES:
        raise UsageError(f"the path of Flower's socket is too long: {path}", hint="use --port instead")
    return FlowerPlan(
        (*common, f"--unix_socket={path}"),
        f"Flower listens on {path}; from your own machine: ssh -L 5555:{path} {socket.gethostname()}, "
        "then http://localhost:5555",
        # Only its owner can enter the socket's folder.
        {"FLOWER_UNAUTHENTICATED_API": "true"},
    )


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise NeuroflowError(f"the folder {folder} can't be made: {error.strerror or error}") from error
    return folder


def _password(folder: Path) -> str:
    path = folder / PASSWORD_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise NeuroflowError(f"{path} can't be written: {error.strerror or error}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write((password := secrets.token_urlsafe(18)) + "\n")
    return password
