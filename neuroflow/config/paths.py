"""The section that says where the data lives, and which of its folders must be apart."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from neuroflow.config.fields import ConfigPath, Section


class Paths(Section):
    """Where the data lives. Job folders and results must be on a file system that nodes see."""

    dicom_root: ConfigPath = Field(description="Folder of the scanner's DICOM sessions; only read, and must exist.")
    bids_root: ConfigPath = Field(description="The BIDS dataset that HeudiConv fills; made when missing.")
    derivatives_root: ConfigPath = Field(
        description="Folder of the derivative datasets (qsiprep, qsirecon, qsiparc); made when missing."
    )
    work_root: ConfigPath = Field(
        description="Working directories, one per run, kept between its attempts; large, and seen by the nodes."
    )
    state_dir: ConfigPath = Field(
        description="neuroflow's own folder: job folders, logs, the embedded database and Redis; seen by the nodes."
    )
    freesurfer_license: ConfigPath | None = Field(
        default=None, description="FreeSurfer licence file, which QSIRecon needs."
    )
    templateflow_home: ConfigPath | None = Field(
        default=None, description="TemplateFlow folder, filled beforehand: compute nodes have no network."
    )
    group: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$",
        description="UNIX group whose members operate this installation together; its folders are theirs, and nobody "
        "else's. None: they are one user's alone.",
    )

    @field_validator("state_dir")
    @classmethod
    def _fits_a_url(cls, folder: Path) -> Path:
        # It becomes part of the embedded database's and the embedded Redis' URL.
        if any(letter in str(folder) for letter in "?#%"):
            raise ValueError(f"'{folder}' holds '?', '#' or '%', which the embedded database can't have in its name")
        return folder

    @model_validator(mode="after")
    def _are_apart(self) -> Paths:
        problems = [
            f"{inner} ({getattr(self, inner)}) {how} {outer} ({getattr(self, outer)}): {reason}"
            for inner, outer, reason in _APART
            if (how := _lies(getattr(self, inner), getattr(self, outer)))
        ]
        problems += [
            f"{first} and {second} are the same folder ({getattr(self, first)}); each needs its own"
            for first, second in _DIFFERENT
            if _real(getattr(self, first)) == _real(getattr(self, second))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


_APART = (
    ("bids_root", "dicom_root", "the scanner's folder is only read"),
    ("derivatives_root", "dicom_root", "the scanner's folder is only read"),
    ("work_root", "dicom_root", "the scanner's folder is only read"),
    ("state_dir", "dicom_root", "the scanner's folder is only read"),
    ("work_root", "bids_root", "QSIPrep refuses a working directory inside its input"),
)
_DIFFERENT = (
    ("bids_root", "derivatives_root"),
    ("derivatives_root", "work_root"),
    ("state_dir", "bids_root"),
    ("state_dir", "derivatives_root"),
)


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _lies(inner: Path, outer: Path) -> str:
    """Say how one folder lies in another, symbolic links followed, or nothing when it doesn't."""
    inside, around = _real(inner), _real(outer)
    if inside == around:
        return "is the same folder as"
    return "is inside" if inside.startswith(around.rstrip("/") + "/") else ""
