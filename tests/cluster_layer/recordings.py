"""What a real SLURM 22.05 answered, recorded with the command lines that neuroflow builds.

The older answers of sacct come from before it was asked for TotalCPU: the field is empty there.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    """Return a recorded answer."""
    return (FOLDER / name).read_text(encoding="utf-8")


def all_recorded(pattern: str) -> list[str]:
    """Return every recorded answer of a kind, such as `sacct_*`."""
    return [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob(pattern))]
