"""The header of a SIF is read as Apptainer writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from neuroflow.sif import read_sif_header
from tests.support.apptainer import Apptainer
from tests.support.images import HEADER_BYTES, fake_sif


def test_the_id_and_the_length_stand_in_the_header(tmp_path: Path) -> None:
    sif_id = fake_sif(tmp_path / "a.sif", content=b"x" * 100)
    header = read_sif_header(tmp_path / "a.sif")
    assert header is not None
    assert (header.sif_id, header.ends_at) == (sif_id, HEADER_BYTES + 100)


def test_what_is_no_sif_has_no_header(tmp_path: Path) -> None:
    for content in (b"", b"hsqs", b"#!/bin/sh\n" + b"x" * 500):
        (tmp_path / "other").write_bytes(content)
        assert read_sif_header(tmp_path / "other") is None


def test_the_header_says_what_apptainer_says(apptainer: Apptainer) -> None:
    text = subprocess.run(
        [apptainer.program, "sif", "header", apptainer.image], check=True, capture_output=True, text=True
    ).stdout
    told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    header = read_sif_header(apptainer.image)
    assert header is not None
    assert header.sif_id == told["ID"].strip()
    assert header.ends_at <= apptainer.image.stat().st_size
