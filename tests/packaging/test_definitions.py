"""The Apptainer definitions build, label and test what they should, with stand-ins for the published images."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.adapters.releases import KNOWN, ToolRelease
from tests.support.apptainer import Apptainer
from tests.support.images import write_oci_archive

PUBLISHED = [release for release in KNOWN if release.repository and release.definition.exists()]
NEWEST = list({release.tool: release for release in reversed(PUBLISHED)}.values())
BUILD_SECONDS = 120


@pytest.fixture
def users_folder(ordinary_user: str) -> Iterator[Path]:
    """A folder of an ordinary user's own: %test needs no root, and no root without all of its capabilities."""
    folder = Path(tempfile.mkdtemp(prefix="neuroflow-definitions-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def build(user: str, folder: Path, release: ToolRelease, *, said: str) -> subprocess.CompletedProcess[str]:
    """Build a definition as a user, on an image whose programs say a version."""
    programs = {release.tool: said, "dcm2niix": "Chris Rorden's dcm2niiX version v1.0.20260724"}
    archive = write_oci_archive(folder / "published.tar", version=release.version, programs=programs)
    text = release.definition.read_text(encoding="utf-8")
    text, count = re.subn(r"Bootstrap: docker\nFrom: .*", f"Bootstrap: oci-archive\nFrom: {archive}", text)
    assert count == 1
    (folder / "tool.def").write_text(text, encoding="utf-8")
    command = ["apptainer", "build", str(folder / "tool.sif"), str(folder / "tool.def")]
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        command = ["runuser", "-u", user, "--", *command]
    environment = {**os.environ, "APPTAINER_CACHEDIR": f"{folder}/cache", "APPTAINER_TMPDIR": str(folder)}
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("release", NEWEST, ids=lambda release: release.tool)
def test_the_image_is_labelled_and_has_passed_its_test(
    apptainer: Apptainer, ordinary_user: str, users_folder: Path, release: ToolRelease
) -> None:
    done = build(ordinary_user, users_folder, release, said=f"Tool v{release.version}")
    assert done.returncode == 0, done.stderr
    answer = subprocess.run(
        [apptainer.program, "inspect", "--json", users_folder / "tool.sif"], capture_output=True, text=True, check=True
    )
    labels = json.loads(answer.stdout)["data"]["attributes"]["labels"]
    assert labels["neuroflow.pipeline"] == release.pipeline
    assert labels["neuroflow.version"] == labels["org.opencontainers.image.version"] == release.version
    assert labels["org.opencontainers.image.base.name"] == f"docker.io/{release.reference}"


@pytest.mark.slow
def test_an_image_of_another_version_is_not_built(apptainer: Apptainer, ordinary_user: str, users_folder: Path) -> None:
    heudiconv = next(release for release in NEWEST if release.tool == "heudiconv")  # whose test has several lines
    done = build(ordinary_user, users_folder, heudiconv, said="Tool v0.0.1")
    assert done.returncode != 0
    assert "%test" in done.stderr
    assert not (users_folder / "tool.sif").exists()
