"""In which order runs that could start do so: a whole number, 0 for most of them, more for those that go first."""

from __future__ import annotations

PRIORITY_WORDS = {"high": 10, "normal": 0, "low": -10}
LARGEST_PRIORITY = 100
# SLURM lets a user lower his own jobs alone. Sites weigh age and share in hundreds or thousands, so `low` is 1000 down.
NICE_PER_STEP = 100


def priority_in_words(priority: int) -> str:
    """Return a priority's word, or its number where it has none."""
    return next((word for word, value in PRIORITY_WORDS.items() if value == priority), str(priority))


def nice_of(priority: int) -> int:
    """Return by how much SLURM is to put a job behind others: 0 but for a priority below normal.

    https://slurm.schedmd.com/sbatch.html#OPT_nice
    """
    return max(0, -priority * NICE_PER_STEP)
