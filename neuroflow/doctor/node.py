"""Run the checks of a compute node inside a job, and leave their findings in the job's folder."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import neuroflow
from neuroflow.cluster.files import write_json
from neuroflow.config import NeuroflowConfig
from neuroflow.doctor.check import Check, Context
from neuroflow.doctor.node_checks import TOLD_NAME
from neuroflow.doctor.registry import NODE_CHECKS
from neuroflow.doctor.runner import run_checks
from neuroflow.orchestrator.place import Place

CONFIG_NAME = "config.json"
FINDINGS_NAME = "findings.json"
# pydantic writes it in place of a secret.
_HIDDEN = "**********"


def payload(folder: str) -> None:
    """Check this node, for submitit."""
    place = Path(folder)
    context = Context(
        load=lambda: read_config(place),
        on_node=True,
        environ={**os.environ, "NEUROFLOW_DOCTOR_FOLDER": folder},
    )
    names = set(json.loads((place / TOLD_NAME).read_text(encoding="utf-8"))["extra"]["checks"])

    def is_wanted(check: Check) -> bool:
        return check.name in names

    began_at = time.time()
    findings = [asdict(one) for one in run_checks(NODE_CHECKS, context, chosen=is_wanted, host=_node())]
    report = {
        "version": neuroflow.__version__,
        "host": _node(),
        "began_at": began_at,
        "ended_at": time.time(),
        "findings": findings,
    }
    write_json(place / FINDINGS_NAME, report)
    print(f"neuroflow doctor: {len(findings)} findings", file=sys.stderr, flush=True)


def _node() -> str:
    # Several nodes of a test cluster share one host name.
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def config_file(config: NeuroflowConfig) -> bytes:
    """Return the configuration for the node, without its secrets: a job needs neither the database nor Redis.

    Of a cluster behind SSH it has the cluster's names, and no way back: on the node nothing is remote.
    """
    content = config.model_dump(mode="json")
    if config.cluster.is_remote:
        place = Place.of(config, where=config.cluster.kind)
        content["paths"] = place.paths().model_dump(mode="json") | {
            "state_dir": config.cluster.ssh.state_dir,
            "group": None,  # of this machine
        }
        content["cluster"] |= {"transport": "local", "ssh": {}}
    return json.dumps(_without_secrets(content)).encode()


def read_config(place: Path) -> NeuroflowConfig:
    """Read the configuration that was written for the node."""
    return NeuroflowConfig.model_validate(json.loads((place / CONFIG_NAME).read_text(encoding="utf-8")))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items() if item != _HIDDEN}
    return [_without_secrets(item) for item in value if item != _HIDDEN] if isinstance(value, list) else value
