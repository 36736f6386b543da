"""Do the same thing at the same moment in many threads or processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from tests.support.databases import BUSY_SECONDS

R = TypeVar("R")
PROCESS_SECONDS = 120.0

# Reads one line before it starts, so that all processes begin together once they have imported everything.
CLAIMER = """
import sys
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import Resources
url, token, limit, *runs = sys.argv[1:]
state = StateManager(Database(url, 60))
state.list_subjects()
print("ready", flush=True)
sys.stdin.readline()
won = [
    run for number, run in enumerate(runs)
    if state.claim_run(
        int(run), token=f"{token}-{number}", where="slurm", folder="/f", resources=Resources(1, 1, 1), image=None,
        limit=int(limit),
    )
]
print(*won, flush=True)
"""

UPGRADER = """
import sys
from neuroflow.core.database import Database
database = Database(sys.argv[1], 60)
database.current()
print("ready", flush=True)
sys.stdin.readline()
print(database.upgrade(), flush=True)
"""

# Parent and child write in turn, over connections that the parent had opened before the fork.
FORKER = """
import os, sys
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
state = StateManager(Database(sys.argv[1], 20))
state.set_value("warm", {})
print("ready", flush=True)
sys.stdin.readline()
child = os.fork()
for number in range(20):
    state.set_value(f"{'parent' if child else 'child'}-{number}", {"number": number})
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
written = [state.get_value(f"{who}-{number}") for who in ("parent", "child") for number in range(20)]
print(sum(value is not None for value in written), flush=True)
"""


def race(url: str, actions: Sequence[Callable[[StateManager], R]]) -> list[R]:
    """Run each action in a thread with a StateManager and connections of its own, all at once."""
    barrier = threading.Barrier(len(actions))

    def start(action: Callable[[StateManager], R]) -> R:
        database = Database(url, BUSY_SECONDS)
        try:
            state = StateManager(database)
            state.list_subjects()  # connect before the start
            barrier.wait(timeout=BUSY_SECONDS)
            return action(state)
        finally:
            database.close()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(start, actions))


def claim_in_processes(url: str, run_ids: Sequence[int], *, processes: int, limit: int) -> list[int]:
    """Let processes claim all runs, each in the given order, all at once; return the ids that were won."""
    runs = [str(run_id) for run_id in run_ids]
    outputs = _start_together(CLAIMER, [[url, f"p{number}", str(limit), *runs] for number in range(processes)])
    return [int(word) for output in outputs for word in output.split()]


def upgrade_in_processes(url: str, *, processes: int) -> list[str]:
    """Let processes upgrade a database, all at once; return the revision that each one reached."""
    return [output.strip() for output in _start_together(UPGRADER, [[url]] * processes)]


def write_across_a_fork(url: str) -> int:
    """Let a process and its forked child write 20 values each; return how many arrived."""
    return int(_start_together(FORKER, [[url]])[0])


def _start_together(program: str, arguments: Sequence[Sequence[str]]) -> list[str]:
    root = Path(__file__).parents[2]
    started: list[subprocess.Popen[str]] = []
    try:
        for words in arguments:
            command = [sys.executable, "-c", program, *words]
            started.append(
                subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=PROCESS_SECONDS)[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(started)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return outputs
