"""`neuroflow containers` on real files, and with the real Apptainer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from neuroflow.adapters.releases import KNOWN
from neuroflow.domain import Resources
from tests.cli.test_commands import CONFIG, Installation, _restored_logging
from tests.support.apptainer import Apptainer
from tests.support.images import fake_sif, write_oci_archive
from tests.support.states import add_session, open_run

__all__ = ["_restored_logging"]  # a fixture that every test here uses too
AWKWARD = "the lab's images: new/qsiprep-26.0.0.sif"


def installation(folder: Path, pipelines: dict[str, Any], **containers: Any) -> Installation:
    """Return an installation with these pipelines' settings, all others on the host."""
    folder.mkdir()
    site = Installation(folder)
    content = yaml.safe_load(CONFIG)
    content["containers"] |= containers
    content["pipelines"] = pipelines
    site.config.write_text(yaml.safe_dump(content))
    return site


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    """An installation whose QSIPrep comes from a file with an awkward name, which is not there."""
    return installation(tmp_path / "site", {"qsiprep": {"runtime": "apptainer", "image": AWKWARD}})


@pytest.fixture
def real(tmp_path: Path, apptainer: Apptainer) -> Installation:
    """The same, with a database and the options that Apptainer needs here."""
    site = installation(
        tmp_path / "site",
        {"qsiprep": {"runtime": "apptainer", "image": AWKWARD}},
        runtime_args=list(apptainer.runtime_args),
    )
    site.make_database()
    return site


def test_a_dry_run_shows_the_commands_and_makes_nothing(site: Installation) -> None:
    line = site.run("containers", "pull", "--dry-run").stdout.strip()
    words = shlex.split(line)
    release = next(release for release in KNOWN if release.pipeline == "qsiprep")
    assert words[0].startswith("APPTAINER_CACHEDIR=")
    assert words[2:4] == ["apptainer", "pull"]
    assert words[4].startswith(f"{site.folder}/the lab's images: new/.qsiprep-26.0.0.")
    assert words[5] == f"docker://{release.repository}@{release.digest}"
    assert not (site.folder / "state" / "containers").exists()


def test_tmp_says_where_the_runtime_keeps_its_files(site: Installation, tmp_path: Path) -> None:
    line = site.run("containers", "pull", "--dry-run", "--tmp", str(tmp_path / "big")).stdout
    assert f"APPTAINER_TMPDIR={tmp_path}/big/tmpdir" in line


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ({}, ("qsirecon",), "pipelines.qsirecon.image is not set"),
        ({"image": "qsiprep-9.9.9.sif"}, ("qsiprep",), "9.9.9 of qsiprep is not in the table"),
        ({"image": "docker://a/b:1.0.0"}, ("qsiprep",), "would fetch in each job"),
        ({"image": "a.sif"}, ("qsiprep", "--source", "missing.def"), "missing.def' does not exist"),
        ({"image": "a.sif"}, ("nope",), "no pipeline 'nope'"),
        ({"image": "a.sif", "runtime": "host"}, ("qsiprep",), "runs on the host"),
        ({"image": "a/b:1.0.0", "runtime": "docker"}, ("qsiprep", "--source", "docker://c"), "fetches the image that"),
    ],
)
def test_what_can_not_be_fetched_is_said(
    tmp_path: Path, settings: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    pipelines = {"qsiprep": {"runtime": "apptainer", **settings}, "qsirecon": {"runtime": "apptainer"}}
    site = installation(tmp_path / "site", pipelines)
    result = site.run("containers", "pull", "--dry-run", *arguments, code=3 if arguments == ("nope",) else 2)
    assert said in result.stderr


def test_the_list_tells_missing_cut_and_unset_images(tmp_path: Path) -> None:
    fake_sif(tmp_path / "cut.sif", content=b"x" * 100, cut=50)
    settings = {"runtime": "apptainer"}
    site = installation(
        tmp_path / "site",
        {
            "qsiprep": {**settings, "image": AWKWARD},
            "qsirecon": {**settings, "image": str(tmp_path / "cut.sif")},
            "qsiparc": settings,
        },
    )
    site.make_database()
    problems = {row["pipeline"]: row["problem"] for row in site.json("containers", "list")["images"]}
    assert problems["bids_conversion"] == ""
    assert "No such file" in problems["qsiprep"]
    assert "is cut" in problems["qsirecon"]
    assert problems["qsiparc"] == "pipelines.qsiparc.image is not set"
    assert "WRONG qsiprep" in site.run("containers", "verify", code=1).stdout


def test_a_pin_that_is_no_digest_is_refused(tmp_path: Path) -> None:
    site = installation(tmp_path / "site", {"qsiprep": {"image_digest": "sha256:abc"}})
    assert "pipelines.qsiprep.image_digest" in site.run("containers", "list", code=2).stderr


def test_an_image_is_made_whole_recorded_and_passes(real: Installation, tmp_path: Path) -> None:
    archive = write_oci_archive(tmp_path / "tool.tar", version="26.0.0")
    real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{archive}")
    folder = real.folder / Path(AWKWARD).parent
    assert [path.name for path in folder.iterdir()] == ["qsiprep-26.0.0.sif"]

    real.run("containers", "verify", "qsiprep")
    (image,) = [row for row in real.json("containers", "list")["images"] if row["pipeline"] == "qsiprep"]
    assert (image["present"], image["changed"], image["tool_version"]) == (True, False, "26.0.0")
    assert image["digest"].startswith("sha256:")
    assert image["labels"]["org.opencontainers.image.version"] == "26.0.0"

    again = real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{archive}")
    assert "is there already" in again.stdout
    assert again.stderr == ""  # no command that is not run
    (same,) = [row for row in real.json("containers", "list")["images"] if row["pipeline"] == "qsiprep"]
    assert same["image_id"] == image["image_id"]


def test_an_image_that_attempts_use_is_replaced_by_force_only(real: Installation, tmp_path: Path) -> None:
    archive = write_oci_archive(tmp_path / "tool.tar", version="26.0.0")
    source = ("--source", f"oci-archive:{archive}")
    real.run("containers", "pull", "qsiprep", *source)
    with real.state() as state:
        run = open_run(state, add_session(state), "qsiprep")
        state.claim_run(
            run.id,
            token="t",
            where="local",
            folder="/f",
            resources=Resources(1, 1, 1),
            image=str(real.folder / AWKWARD),
            limit=1,
        )
    before = (real.folder / AWKWARD).stat().st_ino
    assert "1 attempts use it now" in real.run("containers", "pull", "qsiprep", *source).stdout
    assert (real.folder / AWKWARD).stat().st_ino == before
    real.run("containers", "pull", "qsiprep", *source, "--force")
    assert (real.folder / AWKWARD).stat().st_ino != before
    (image,) = [row for row in real.json("containers", "list")["images"] if row["pipeline"] == "qsiprep"]
    assert not image["changed"]  # who forced it wants it


def test_a_source_that_fails_leaves_the_image_that_is_there(real: Installation, tmp_path: Path) -> None:
    image = real.folder / AWKWARD
    fake_sif(image)
    before = image.read_bytes()
    result = real.run("containers", "pull", "qsiprep", "--force", "--source", "docker://127.0.0.1:1/no/such:1", code=7)
    assert "docker://127.0.0.1:1/no/such:1" in result.stderr
    assert image.read_bytes() == before
    assert [path.name for path in image.parent.iterdir()] == [image.name]


def test_another_image_in_its_place_fails_until_it_is_accepted(real: Installation, tmp_path: Path) -> None:
    first = write_oci_archive(tmp_path / "first.tar", version="26.0.0")
    real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{first}")
    kept = (real.folder / AWKWARD).read_bytes()
    real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{first}", "--force")
    (real.folder / AWKWARD).write_bytes(kept)  # as somebody would by hand

    assert "image changed: qsiprep" in real.run("status").stdout
    assert "is another image since" in real.run("containers", "verify", "qsiprep", code=1).stdout
    real.run("containers", "verify", "qsiprep", "--accept")
    assert "image changed" not in real.run("status").stdout


def test_a_tool_of_another_version_is_not_accepted(real: Installation, tmp_path: Path) -> None:
    archive = write_oci_archive(tmp_path / "tool.tar", version="26.1.1")
    real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{archive}")
    said = real.run("containers", "verify", "qsiprep", "--accept", code=1).stdout
    assert "holds version 26.1.1" in said
    assert "set pipelines.qsiprep.version to '26.1.1'" in said


def test_another_tools_image_is_told_of_and_its_version_not_advised(real: Installation, tmp_path: Path) -> None:
    archive = write_oci_archive(tmp_path / "tool.tar", version="26.0.0", tool="QSIRecon")
    real.run("containers", "pull", "qsiprep", "--source", f"oci-archive:{archive}")
    said = real.run("containers", "verify", "qsiprep", "--accept", code=1).stdout
    assert "looks like another tool's image: it says QSIRecon 26.0.0" in said
    assert "set pipelines.qsiprep.image to an image of QSIPrep" in said
    assert "pipelines.qsiprep.version" not in said
