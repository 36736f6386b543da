"""`neuroflow up --status`: what runs, how it is, what waits in Redis, and what it costs the machine."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.output import escaped
from neuroflow.cli.up_command import NOT_RUNNING, UNWELL
from neuroflow.cli.up_lock import is_left_over, read_status
from neuroflow.cli.up_services import QUEUES
from neuroflow.masking import mask_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroflow.config import NeuroflowConfig

# How long CPU use is watched (s).
_SAMPLE_SECONDS = 0.5
# Redis keeps each priority of a queue in a list of its own, with this between name and priority.
_PRIORITY_SEPARATOR = "\x06\x16"


def show_status(config: NeuroflowConfig, *, as_json: bool) -> int:
    """Print the status, and return the exit code."""
    report = gather(config)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for line in lines_of(report):
            click.echo(escaped(line))
    if not report["running"]:
        return NOT_RUNNING
    return UNWELL if report["problems"] else 0


def gather(config: NeuroflowConfig) -> dict[str, Any]:
    """Put together what the running one says of itself, what Redis holds, and what the processes use."""
    found = read_status(config.paths.state_dir)
    report: dict[str, Any] = {"running": found is not None, "state_dir": str(config.paths.state_dir)}
    report |= found or {}
    report["redis"] = _redis(config)
    if found is not None:
        report["here"] = found.get("host") == socket.gethostname()
        report["usage"] = _usage(config, found) if report["here"] else []
        report["config_outdated"] = found.get("config_digest") not in (None, config.digest)
    report["problems"] = _problems(config, report)
    return report


def _redis(config: NeuroflowConfig) -> dict[str, Any]:
    """Ask Redis how many messages wait in each queue."""
    import redis

    from neuroflow.cli.up_health import open_redis

    keys = {name: [name, *(f"{name}{_PRIORITY_SEPARATOR}{step}" for step in range(1, 10))] for name in QUEUES}
    shown = mask_text(config.redis_url())
    try:
        with open_redis(config.redis_url()) as client, client.pipeline(transaction=False) as pipe:
            for names in keys.values():
                for name in names:
                    pipe.llen(name)
            pipe.hlen("unacked")
            *lengths, unacked = pipe.execute()
    except (redis.RedisError, OSError, ValueError) as error:
        return {"url": shown, "answers": False, "error": mask_text(str(error)), "queues": {}, "taken": None}
    counts = iter(lengths)
    queues = {name: sum(next(counts) for _ in names) for name, names in keys.items()}
    return {"url": shown, "answers": True, "error": "", "queues": queues, "taken": unacked}


def _usage(config: NeuroflowConfig, report: Mapping[str, Any]) -> list[dict[str, object]]:
    from neuroflow.cli.up_usage import measure

    children = [(str(one["name"]), int(one["pid"])) for one in report.get("services", []) if one.get("pid")]
    pid = report.get("pid")
    parts = measure(
        pid if isinstance(pid, int) else 0, children, state_dir=config.paths.state_dir, seconds=_SAMPLE_SECONDS
    )
    return [part.as_json() for part in parts]


def _problems(config: NeuroflowConfig, report: Mapping[str, Any]) -> list[str]:
    found = []
    redis = report["redis"]
    running = bool(report["running"])
    if not redis["answers"] and (running or config.redis_socket() is None):
        found.append(f"redis.url ({redis['url']}) does not answer: {redis['error']}")
    if not running:
        return found
    if is_left_over(dict(report)):
        found.append(
            "the supervisor is gone, and its services still end: `neuroflow up` waits for them, then ends them; with "
            "--take-over at once"
        )
    found += [
        f"{one['name']} is {one['state']}" + ("" if one.get("health") != "silent" else ", and gives no sign of life")
        for one in report.get("services", [])
        if one.get("state") != "running" or one.get("health") == "silent"
    ]
    if not found and report.get("ready") is False:
        found.append("it is not ready yet: not every service has given a sign of life")
    if report.get("config_outdated"):
        found.append(
            "it runs with another configuration than this one: send it SIGHUP, or restart it, to take up the changes"
        )
    return found


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """Say a report in words."""
    if not report["running"]:
        return [f"not running ({report['state_dir']})", *(f"problem: {text}" for text in report["problems"])]
    user = f", user {report['user']}" if report.get("user") else ""
    ready = "" if report.get("ready", True) else ", not ready yet"
    since = f"process {report.get('pid')} on {report.get('host')} since {report.get('started_at')}{user}"
    lines = [f"killed: {since}; what it left:" if is_left_over(dict(report)) else f"running: {since}{ready}"]
    lines += [_service_line(service) for service in report.get("services", [])]
    lines.append(_queue_line(report["redis"]))
    if report["here"]:
        lines += _usage_lines(report["usage"])
    else:
        lines.append(f"CPU and memory: only on {report.get('host')}")
    return [*lines, *(f"problem: {text}" for text in report["problems"])]


def _service_line(service: Mapping[str, Any]) -> str:
    parts = [str(service.get("state"))]
    if service.get("pid"):
        parts.append(f"process {service['pid']}")
    if service.get("started_at"):
        parts.append(f"since {_moment(service['started_at'])}")
    parts.append(f"started {service.get('starts')} times")
    if service.get("hung"):
        parts.append(f"hung {service['hung']} times")
    if service.get("last_exit") is not None:
        parts.append(f"last exit code {service['last_exit']}")
    if service.get("last_sign"):
        parts.append(f"last sign of life {max(0.0, time.time() - service['last_sign']):.0f} s ago")
    return f"  {service.get('name')}: {', '.join(parts)}"


def _queue_line(redis: Mapping[str, Any]) -> str:
    if not redis["answers"]:
        return "  queues: unknown"
    waiting = ", ".join(f"{name} {count}" for name, count in redis["queues"].items())
    return f"  queues: {waiting}; taken by a worker: {redis['taken']}"


def _usage_lines(usage: list[dict[str, Any]]) -> list[str]:
    lines = [f"  {'':24}{'processes':>10}{'CPU s':>10}{'CPU %':>8}{'RSS MB':>9}{'PSS MB':>9}"]
    for part in usage:
        pss = "-" if part["pss_mb"] is None else f"{part['pss_mb']:.0f}"
        lines.append(
            f"  {part['name']:24}{part['processes']:>10}{part['cpu_seconds']:>10.1f}{part['cpu_percent']:>8.1f}"
            f"{part['rss_mb']:>9.0f}{pss:>9}"
        )
    return lines


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
