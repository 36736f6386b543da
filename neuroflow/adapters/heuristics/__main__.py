"""Copy the heuristic that neuroflow ships to a place that a container can be shown; before a job, on its own node."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the heuristic to the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m neuroflow.adapters.heuristics", description=__doc__)
    parser.add_argument("target", type=Path, help="the file to write")
    shutil.copyfile(SHIPPED_HEURISTIC, parser.parse_args(arguments).target)


if __name__ == "__main__":
    main()
