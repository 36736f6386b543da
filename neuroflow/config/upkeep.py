"""The sections for those who look after an installation: metrics, and what is deleted when."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from neuroflow.config.fields import ConfigPath, Section
from neuroflow.domain import FailureClass

NEVER = "never"
_MOST_DAYS = 36_500.0


def _check_days(value: float | str) -> float | str:
    if value == NEVER:
        return value
    try:
        number = float(value)  # of the environment it comes as text
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MOST_DAYS:
        raise ValueError(f"must be a number of days from 0 to {_MOST_DAYS:g}, or `never`, not {value!r}")
    return number


Days = Annotated[float | str, AfterValidator(_check_days)]


def split_address(text: str) -> tuple[str, int]:
    """Split `host:port`, with an IPv6 address in brackets.

    Raises:
        ValueError: when it is spelled otherwise.
    """
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9797")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host's ports."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class StatusFile(Section):
    """The snapshot of `neuroflow status`, for those who may not read the database."""

    snapshot: ConfigPath | None = Field(
        default=None, description="Where it is left after a look at the jobs; none: status.json in paths.state_dir."
    )
    seconds: float = Field(default=60.0, ge=1, description="Shortest time between two writings of it (s).")
    open: bool = Field(
        default=False,
        description="Let every user of the machine read it; it names subjects. Otherwise its owner, or paths.group.",
    )


class Metrics(Section):
    """Prometheus metrics; none are written or served unless asked for."""

    textfile: ConfigPath | None = Field(
        default=None, description="Write them to this file (*.prom) for node_exporter's textfile collector."
    )
    seconds: float = Field(default=60.0, ge=1, description="Shortest time between two writings of the file (s).")
    http: str | None = Field(
        default=None, description="HOST:PORT for `neuroflow metrics serve`, such as 127.0.0.1:9797."
    )
    open: bool = Field(
        default=False, description="Allow metrics.http to be an address that other machines reach; it has no password."
    )

    @model_validator(mode="after")
    def _check(self) -> Metrics:
        if self.textfile is not None and Path(self.textfile).suffix != ".prom":
            raise ValueError(f"textfile must end with .prom, or node_exporter passes it over: {self.textfile}")
        if self.http is not None:
            host, _ = split_address(self.http)
            if not is_loopback(host) and not self.open:
                raise ValueError(
                    f"http: {host} can be reached from other machines, and the metrics have no password; "
                    "take 127.0.0.1, or say metrics.open: true"
                )
        return self


# Not a union with the enum: its errors would speak of pydantic's own words.
Outcome = Literal[
    "completed",
    "failed",
    "out_of_memory",
    "timeout",
    "node",
    "preempted",
    "application",
    "no_output",
    "bad_input",
    "site",
    "cancelled",
]


class Retention(Section):
    """After how many days what is deleted; `never`, which everything is unless said otherwise."""

    work_days: dict[Outcome, Days] = Field(
        default_factory=dict,
        description="Work directories, by how their run ended: completed, failed, or one failure class instead of "
        "failed (days, or never).",
    )
    attempts_days: Days = Field(
        default=NEVER, description="Attempts' folders (job files, logs, exit records) of ended runs (days, or never)."
    )
    quarantine_days: Days = Field(
        default=NEVER, description="What was put aside in the folders of ended runs (days, or never)."
    )
    replaced_days: Days = Field(default=NEVER, description="Results that newer ones have replaced (days, or never).")

    def work_days_of(self, failure: FailureClass | None) -> float | None:
        """Return after how many days the work directory of an ended run goes; None: never.

        Args:
            failure: why the run failed; None: it completed.
        """
        by_name: dict[str, Days] = dict(self.work_days.items())
        names = ("completed",) if failure is None else (failure.value, "failed")
        return days(next((by_name[name] for name in names if name in by_name), NEVER))

    @property
    def deletes(self) -> bool:
        """Whether anything is ever deleted."""
        others = (self.attempts_days, self.quarantine_days, self.replaced_days)
        return any(value != NEVER for value in (*self.work_days.values(), *others))


def days(value: Days) -> float | None:
    """Return a number of days, None for never."""
    return None if value == NEVER else float(value)
