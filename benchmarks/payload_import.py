"""Measure what importing the job's payload adds to submitit's own start, as a ratio in one run.

Run: python benchmarks/payload_import.py [REPEATS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BARE = "import submitit.core.submission"
WITH_PAYLOAD = f"{BARE}; import neuroflow.cluster.job"


def seconds(code: str) -> float:
    """Time one fresh interpreter."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Alternate the two, so that a busy machine slows both alike."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    bare, full = zip(*((seconds(BARE), seconds(WITH_PAYLOAD)) for _ in range(repeats)), strict=True)
    a, b = statistics.median(bare), statistics.median(full)
    print(
        f"submitit alone {a:.3f} s, with the payload {b:.3f} s: {b / a:.2f} times, {b - a:+.3f} s ({repeats} repeats)"
    )


if __name__ == "__main__":
    main()
