"""Write the files at the top of the BIDS dataset; `python -m neuroflow.adapters.dataset ROOT` before a job.

HeudiConv would write them under a lock that a killed job leaves behind. Here each is written whole under another
name and then put in place, so any number of jobs may do it at once; what a person wrote stays.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroflow import __version__
from neuroflow.domain import is_label

BIDS_VERSION = "1.10.0"
_PARTICIPANT_COLUMN = "participant_id"


def dataset_description(
    name: str, *, dataset_type: str = "raw", generated_by: Sequence[str] = ("neuroflow", "HeudiConv")
) -> str:
    """Return `dataset_description.json` of a dataset of ours."""
    generators = [{"Name": tool, **({"Version": __version__} if tool == "neuroflow" else {})} for tool in generated_by]
    content = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": dataset_type, "GeneratedBy": generators}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def readme(name: str) -> str:
    """Return a README that says where the data come from; the validator asks for one."""
    return (
        f"# {name}\n\nConverted from DICOM by neuroflow, with HeudiConv and dcm2niix. Each `sub-*/ses-*` folder is\n"
        "replaced as a whole when its session is converted again. This file is yours: neuroflow never changes it.\n"
    )


def bidsignore() -> str:
    """Return `.bidsignore`: what neuroflow and HeudiConv keep beside the data."""
    return ".neuroflow/\n.heudiconv/\n"


def participants_tsv(existing: str | None, subjects: Iterable[str]) -> str:
    """Add the subjects that a `participants.tsv` lacks, with n/a in its other columns; keep all else as it is."""
    text = existing if existing and existing.strip() else f"{_PARTICIPANT_COLUMN}\n"
    header, *rows = text.splitlines()
    columns = header.split("\t")
    if _PARTICIPANT_COLUMN not in columns:
        return text
    place = columns.index(_PARTICIPANT_COLUMN)
    known = {cells[place] for cells in (row.split("\t") for row in rows) if len(cells) > place}
    missing = sorted({f"sub-{subject}" for subject in subjects} - known)
    if not missing and existing == text:
        return text
    added = ["\t".join(name if at == place else "n/a" for at in range(len(columns))) for name in missing]
    return "\n".join([header, *rows, *added]) + "\n"


def ensure_dataset(root: Path, *, participants: bool = False) -> tuple[str, ...]:
    """Write the top-level files that are missing, and return their names.

    Args:
        participants: also add the subjects that have a folder to `participants.tsv`.
    """
    root.mkdir(parents=True, exist_ok=True)
    name = root.resolve().name
    texts = {
        "dataset_description.json": dataset_description(name),
        "README.md": readme(name),
        ".bidsignore": bidsignore(),
    }
    if any(root.glob("README*")):
        del texts["README.md"]
    written = [file for file, text in texts.items() if not (root / file).exists() and _put(root / file, text)]
    if participants and _update_participants(root):
        written.append("participants.tsv")
    return tuple(written)


def _update_participants(root: Path) -> bool:
    path = root / "participants.tsv"
    existing = path.read_text(encoding="utf-8") if path.exists() else None
    labels = (folder.name.removeprefix("sub-") for folder in root.glob("sub-*") if folder.is_dir())
    text = participants_tsv(existing, [label for label in labels if is_label(label)])
    # Two jobs at once may lose a row to each other; it comes from the folders, so the next one adds it again.
    return text != existing and _put(path, text, replace=existing is not None)


def _put(path: Path, text: str, *, replace: bool = False) -> bool:
    """Put a whole file in place; without `replace`, only where there is none."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o666 & ~_umask())
        if replace:
            Path(temporary).replace(path)
            return True
        return _link(Path(temporary), path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        temporary.replace(path)
    return True


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the missing files of the dataset that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m neuroflow.adapters.dataset", description=__doc__)
    parser.add_argument("root", type=Path, help="the BIDS dataset")
    parser.add_argument("--participants", action="store_true", help="also add missing subjects to participants.tsv")
    options = parser.parse_args(arguments)
    ensure_dataset(options.root, participants=options.participants)


if __name__ == "__main__":
    main()
