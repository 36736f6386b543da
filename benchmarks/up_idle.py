"""Measure what `neuroflow up` costs a login node while nothing happens: CPU seconds per hour, and memory.

    python benchmarks/up_idle.py [SECONDS]

Needs redis-server. The embedded Redis, one worker with the default number of processes, and beat; a look at the jobs
every `cluster.poll_seconds` (60) is part of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETTLE_SECONDS = 90.0  # for the first look at the jobs, which loads what each process needs
CONFIG = """
paths: {dicom_root: dicom, bids_root: bids, derivatives_root: derivatives, work_root: work, state_dir: state}
redis: {url: embedded}
cluster: {kind: local}
"""


def main(seconds: float = 300.0) -> None:
    """Measure, and print one line for each part."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dicom").mkdir()
        (root / "neuroflow.yaml").write_text(CONFIG, encoding="utf-8")
        neuroflow(root, "db", "upgrade")
        with (root / "up.log").open("wb") as log:
            up = subprocess.Popen(command(root, "up"), env=environment(), stdout=log, stderr=subprocess.STDOUT)
        try:
            while not status(root).get("ready"):
                time.sleep(1.0)
            time.sleep(SETTLE_SECONDS)
            before = by_name(status(root))
            time.sleep(seconds)
            after = by_name(status(root))
        finally:
            up.terminate()
            up.wait(60)
    print(f"{'':24}{'processes':>10}{'CPU s/hour':>12}{'RSS MB':>9}{'PSS MB':>9}")
    for name, part in after.items():
        spent = (part["cpu_seconds"] - before[name]["cpu_seconds"]) * 3600 / seconds
        print(f"{name:24}{part['processes']:>10}{spent:>12.1f}{part['rss_mb']:>9.0f}{part['pss_mb'] or 0:>9.0f}")


def command(root: Path, *arguments: str) -> list[str]:
    """Return a command line of neuroflow."""
    call = "from neuroflow.cli.main import main; main()"
    return [sys.executable, "-c", call, "--config", str(root / "neuroflow.yaml"), *arguments]


def environment() -> dict[str, str]:
    """Return an environment in which this checkout is imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def neuroflow(root: Path, *arguments: str) -> str:
    """Run neuroflow, and return what it wrote."""
    done = subprocess.run(command(root, *arguments), env=environment(), capture_output=True, text=True, check=False)
    return done.stdout


def status(root: Path) -> dict[str, Any]:
    """Return `neuroflow up --status --json`."""
    text = neuroflow(root, "up", "--status", "--json")
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the usage by part."""
    return {part["name"]: part for part in report["usage"]}


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
