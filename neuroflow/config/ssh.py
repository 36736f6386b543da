"""The section `cluster.ssh`: how a cluster's login node is reached, and what its folders are called there."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from neuroflow.config.fields import ConfigPath, OneLine, Section

# What ssh itself takes, without what it would read as an option, and without what this machine's shell could read.
_HOST = re.compile(r"[A-Za-z0-9_\[:][A-Za-z0-9._:\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")


def _absolute(text: str) -> str:
    parts = text.split("/")
    if not text.startswith("/") or "." in parts or ".." in parts or "//" in text:
        raise ValueError(f"'{text}' must be an absolute path without '.', '..' and '//'")
    return text.rstrip("/") or "/"


# A path as another machine spells it: nothing is looked up, or made absolute, here.
RemotePath = Annotated[OneLine, AfterValidator(_absolute)]


def _is_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"'{text}' is no host name, address, or name in ssh's configuration")
    return text


class Ssh(Section):
    """The way to the login node of a cluster; needed with `cluster.transport: ssh`."""

    host: Annotated[OneLine, AfterValidator(_is_host)] | None = Field(
        default=None, description="The login node: its name, its address, or a `Host` of config_file."
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Its port; none: of config_file, or 22.")
    user: OneLine | None = Field(default=None, description="Account there; none: of config_file, or this user's name.")
    key_file: ConfigPath | None = Field(
        default=None,
        description="Private key, not encrypted, or held by an agent; none: config_file's, an agent's, or ~/.ssh/id_*.",
    )
    known_hosts: ConfigPath | None = Field(
        default=None,
        description="The only file of known host keys; none: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.",
    )
    config_file: ConfigPath | None = Field(
        default=None, description="ssh's own configuration; none: ~/.ssh/config, where there is one."
    )
    jump: OneLine | None = Field(
        default=None, description="Hosts on the way, as `user@host:port`, with commas between them (ProxyJump)."
    )
    keepalive_seconds: int = Field(
        default=30, ge=0, description="How often an idle connection is kept alive (s); 0: not at all."
    )
    connect_timeout_seconds: float = Field(default=20.0, gt=0, description="Longest wait for a connection (s).")
    state_dir: RemotePath | None = Field(
        default=None,
        description="Folder on the cluster for the jobs' own folders, seen by its nodes; made when missing.",
    )
    paths: dict[RemotePath, RemotePath] = Field(
        default_factory=dict,
        description="Folders that have another name on the cluster: this machine's name to the cluster's. "
        "The longest that fits is taken; other paths have the same name on both.",
    )

    @field_validator("user")
    @classmethod
    def _is_user(cls, text: str | None) -> str | None:
        if text is not None and not _USER.fullmatch(text):
            raise ValueError(f"'{text}' is no user name")
        return text
