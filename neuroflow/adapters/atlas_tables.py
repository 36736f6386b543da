"""Put QSIRecon's atlas label tables where QSIParc looks; `python -m neuroflow.adapters.atlas_tables DATASET`.

QSIParc 0.1.2 reads `atlases/atlas-<name>/*_dseg.tsv`; QSIRecon writes to `sourcedata/atlases` since 26.0.0. Without
its table an atlas still gives values, but its regions lose their names, and QSIParc only warns.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ATLAS = re.compile(r"(?:^|_)atlas-(?P<name>[A-Za-z0-9]+)_")


def missing_tables(dataset: Path) -> dict[Path, Path]:
    """Return the tables that QSIParc would not find: where each should be, and where it is."""
    found: dict[Path, Path] = {}
    for source in sorted((dataset / "sourcedata" / "atlases").rglob("*_dseg.tsv")):
        match = _ATLAS.search(source.name)
        if match is None:
            continue
        folder = dataset / "atlases" / f"atlas-{match['name']}"
        if not any(folder.glob("*_dseg.tsv")):
            found.setdefault(folder / f"atlas-{match['name']}_dseg.tsv", source)
    return found


def copy_missing_tables(dataset: Path) -> tuple[Path, ...]:
    """Copy them, each put in place whole, so that other jobs may read meanwhile; return the new files."""
    tables = missing_tables(dataset)
    for target, source in tables.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".atlas-", dir=target.parent)
        os.close(handle)
        try:
            shutil.copyfile(source, temporary)
            shutil.copymode(source, temporary)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return tuple(tables)


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the missing tables of the dataset that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m neuroflow.adapters.atlas_tables", description=__doc__)
    parser.add_argument("dataset", type=Path, help="QSIRecon's dataset")
    copy_missing_tables(parser.parse_args(arguments).dataset)


if __name__ == "__main__":
    main()
