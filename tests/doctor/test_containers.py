"""The checks of commands, runtimes and images; images are run by the real Apptainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.conftest import Patient
from tests.support.apptainer import Apptainer
from tests.support.commands import run
from tests.support.demo_images import DemoImages

QUIET = {"bids_conversion": {"enabled": False}, "qsirecon": {"enabled": False}, "qsiparc": {"enabled": False}}


def only_qsiprep(patient: Patient, **settings: Any) -> Patient:
    patient.write(pipelines={**QUIET, "qsiprep": {"version": "26.1.1", **settings}})
    return patient


def in_apptainer(patient: Patient, apptainer: Apptainer, image: Path, **settings: Any) -> Patient:
    patient.write(containers={"runtime": "apptainer", "runtime_args": list(apptainer.runtime_args)})
    (patient.folder / "work_root").mkdir()
    return only_qsiprep(patient, image=str(image), **settings)


@pytest.fixture(scope="module")
def saying(apptainer: Apptainer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build an image whose program says something, whatever it is asked."""
    folder = tmp_path_factory.mktemp("images")

    def build(words: str) -> Path:
        image = folder / f"{words.replace(' ', '-')}.sif"
        if image.exists():
            return image
        definition = folder / "image.def"
        definition.write_text(
            f"Bootstrap: localimage\nFrom: {apptainer.image.parent / 'busybox'}\n\n%runscript\n    echo {words}\n"
        )
        run([apptainer.program, "--silent", "build", image, definition])
        return image

    return build


@pytest.mark.provokes("command-impossible")
def test_a_pipeline_without_image_and_one_without_licence(patient: Patient) -> None:
    patient.write(containers={"runtime": "apptainer"}, pipelines={"qsirecon": {"image": "/x/qsirecon-26.0.0.sif"}})
    bad = {one.what.partition(":")[0]: one for one in patient.look("commands") if one.severity == "error"}
    assert {one.code for one in bad.values()} == {"command-impossible"}
    assert "pipelines.qsiparc.image" in bad["qsiparc"].mend
    assert bad["qsiprep"].what == "qsiprep: apptainer needs an image, and pipelines.qsiprep.image is not set"
    assert "paths.freesurfer_license" in bad["qsirecon"].mend


@pytest.mark.provokes("runtime-missing")
def test_a_runtime_that_is_not_installed(patient: Patient) -> None:
    patient.write(containers={"runtime": "apptainer"})
    only_qsiprep(patient, image="/x/qsiprep.sif")
    [found] = patient.look("runtimes", path="/nonexistent")
    assert (found.code, "for qsiprep, is not on the PATH" in found.what) == ("runtime-missing", True)


@pytest.mark.provokes("runtime-missing")
def test_a_runtime_that_does_not_start(patient: Patient, program: Callable[[str, str], str]) -> None:
    patient.write(containers={"runtime": "apptainer"})
    only_qsiprep(patient, image="/x/qsiprep.sif")
    path = program("apptainer", "echo 'error while loading shared libraries: libseccomp.so.2' >&2; exit 127")
    assert "libseccomp" in patient.look("runtimes", path=path)[0].what


def test_a_runtime_that_a_module_brings_is_left_to_the_node(patient: Patient) -> None:
    cluster = {"kind": "slurm", "setup_lines": ["module load apptainer"]}
    patient.write(containers={"runtime": "apptainer"}, cluster=cluster)
    only_qsiprep(patient, image="/x/qsiprep.sif")
    [found] = patient.look("runtimes", path="/nonexistent")
    assert (found.severity, "--node" in found.what) == ("skipped", True)
    assert patient.codes("runtimes", path="/nonexistent", on_node=True) == ["runtime-missing"]


@pytest.mark.provokes("runtime-not-here", "runtime-missing")
def test_a_runtime_that_only_nodes_may_have(patient: Patient) -> None:
    patient.write(containers={"runtime": "apptainer"}, cluster={"kind": "slurm"})
    only_qsiprep(patient, image="/x/qsiprep.sif")
    assert patient.codes("runtimes", path="/nonexistent") == ["runtime-not-here"]
    assert patient.codes("runtimes", path="/nonexistent", on_node=True) == ["runtime-missing"]
    conversion = {"enabled": True, "image": "/x/heudiconv.sif"}  # works inside the worker, so here
    patient.write(pipelines={"bids_conversion": conversion})
    assert patient.codes("runtimes", path="/nonexistent") == ["runtime-missing"]


@pytest.mark.provokes("runtime-missing")
def test_a_tool_of_the_host_that_is_not_there(patient: Patient) -> None:
    only_qsiprep(patient, program=["/opt/none/qsiprep"])
    assert patient.codes("runtimes", "images") == ["runtime-missing"]
    assert "/opt/none/qsiprep, for qsiprep, does not exist" in [one.what for one in patient.seen]


@pytest.mark.provokes("bind-missing")
def test_a_bind_without_its_folder(patient: Patient) -> None:
    patient.write(containers={"binds": ["/no/such/folder:/data:ro", f"{patient.folder}:/here"]})
    [found] = patient.look("binds")
    assert (found.code, "/no/such/folder" in found.what) == ("bind-missing", True)


@pytest.mark.provokes("image-not-a-file")
def test_an_image_that_each_job_would_pull(patient: Patient, program: Callable[[str, str], str]) -> None:
    patient.write(containers={"runtime": "apptainer"})
    only_qsiprep(patient, image="docker://pennlinc/qsiprep:26.1.1")
    [found] = patient.look("images", path=program("apptainer", "exit 1"))
    assert found.code == "image-not-a-file"
    assert "apptainer pull /shared/containers/qsiprep.sif docker://pennlinc/qsiprep:26.1.1" in found.mend


@pytest.mark.provokes("image-not-runnable")
@pytest.mark.parametrize("kept", [0, 3000])
def test_an_image_that_is_broken(patient: Patient, apptainer: Apptainer, tmp_path: Path, kept: int) -> None:
    image = tmp_path / "qsiprep-26.1.1.sif"
    image.write_bytes(apptainer.image.read_bytes()[:kept] or b"<html>not found</html>")
    [found] = in_apptainer(patient, apptainer, image).look("images")
    assert found.code == "image-not-runnable"
    if kept:
        assert "it is cut, or still being copied: it has 3000 bytes" in found.what
        assert found.mend.startswith("fetch it again: `neuroflow containers pull qsiprep --force`")
        return
    assert found.what.startswith("qsiprep: `apptainer … --version` ended with 255: ")
    assert str(image) in found.mend


@pytest.mark.provokes("image-not-runnable")
def test_an_image_without_the_tool(patient: Patient, apptainer: Apptainer) -> None:
    # Its runscript runs its arguments, and `--version` is no program.
    assert in_apptainer(patient, apptainer, apptainer.image).codes("images") == ["image-not-runnable"]


@pytest.mark.provokes("image-not-runnable")
def test_an_option_that_the_runtime_does_not_know(
    patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path]
) -> None:
    in_apptainer(patient, apptainer, saying("qsiprep 26.1.1"), runtime_args=["--no-such-option"])
    assert "no-such-option" in patient.look("images")[0].what


@pytest.mark.provokes("image-other-version")
def test_an_image_of_another_version(patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path]) -> None:
    in_apptainer(patient, apptainer, saying("qsiprep v1.0.2"))
    [found] = patient.look("images")
    assert found.code == "image-other-version"
    assert "it says 1.0.2, the configuration 26.1.1" in found.what
    assert "pipelines.qsiprep.version to '1.0.2'" in found.mend


@pytest.mark.provokes("image-other-tool")
def test_the_image_of_another_pipelines_tool(
    patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path]
) -> None:
    # Its version is the one that is configured, which is no help.
    in_apptainer(patient, apptainer, saying("reconstruction 1.0.0 of QSIRecon 26.1.1"))
    [found] = patient.look("images")
    assert (found.code, found.mend) == ("image-other-tool", "set pipelines.qsiprep.image to an image of QSIPrep")
    assert "it says QSIRecon 26.1.1" in found.what


def test_an_image_that_is_right(patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path]) -> None:
    in_apptainer(patient, apptainer, saying("qsiprep v26.1.1"))
    [found] = patient.look("images")
    assert (found.severity, found.what) == ("ok", "qsiprep runs: version 26.1.1")
    assert list((patient.folder / "work_root").iterdir()) == []


def test_a_tool_that_names_other_versions_too(
    patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path]
) -> None:
    in_apptainer(patient, apptainer, saying("numpy 1.26 and qsiprep v26.1.1"))
    assert patient.codes("images") == []


def test_an_image_that_is_missing_is_left_to_another_check(patient: Patient, apptainer: Apptainer) -> None:
    in_apptainer(patient, apptainer, patient.folder / "none-26.1.1.sif")
    assert [one.severity for one in patient.look("images")] == ["skipped"]
    assert patient.codes("configuration-files") == ["config-file-missing"]


def test_a_tool_of_the_host(patient: Patient, program: Callable[[str, str], str]) -> None:
    path = program("qsiprep", "echo qsiprep 26.1.1")
    only_qsiprep(patient, program=[f"{path.partition(':')[0]}/qsiprep"])
    assert [one.severity for one in patient.look("images", "runtimes")] == ["ok", "ok"]


@pytest.mark.provokes("runtime-needs-userns")
def test_a_runtime_that_works_in_a_user_namespace_only(
    patient: Patient, apptainer: Apptainer, saying: Callable[[str], Path], program: Callable[[str, str], str]
) -> None:
    in_apptainer(patient, apptainer, saying("qsiprep v26.1.1"))
    patient.write(containers={"runtime_args": []})
    if not apptainer.runtime_args:
        # It works here without one: then it is made to fail, as it does where the setuid helper is missing.
        refuse = f'case "$*" in *--userns*) exec {apptainer.program} "$@";; esac; echo no setuid >&2; exit 255'
        [found] = patient.look("images", path=program("apptainer", refuse))
    else:
        [found] = patient.look("images")
    assert (found.code, "--userns" in found.mend) == ("runtime-needs-userns", True)


HEURISTIC = "import no_such_module\ndef infotodict(seqinfo): ...\n"


@pytest.mark.provokes("heuristic-broken")
def test_a_heuristic_that_can_not_be_imported_beside_heudiconv(patient: Patient, tmp_path: Path) -> None:
    pytest.importorskip("heudiconv")
    (tmp_path / "heuristic.py").write_text(HEURISTIC)
    patient.write(pipelines={"bids_conversion": {"heuristic": str(tmp_path / "heuristic.py")}})
    [found] = patient.look("heuristic-import")
    assert found.code == "heuristic-broken"
    assert "No module named 'no_such_module'" in found.what
    assert found.mend.startswith("the module is not in the Python beside ")


@pytest.mark.provokes("heuristic-broken")
def test_a_heuristic_that_can_not_be_imported_in_the_image(
    patient: Patient, apptainer: Apptainer, demo_images: DemoImages, tmp_path: Path
) -> None:
    in_apptainer(patient, apptainer, tmp_path / "none-26.1.1.sif")
    conversion: dict[str, Any] = {"enabled": True, "image": str(demo_images.bids_conversion)}
    patient.write(pipelines={"bids_conversion": conversion, "qsiprep": {"enabled": False}})
    assert [one.severity for one in patient.look("images", "heuristic-import")] == ["ok", "ok"]
    (tmp_path / "heuristic.py").write_text(HEURISTIC)
    patient.write(pipelines={"bids_conversion": {**conversion, "heuristic": str(tmp_path / "heuristic.py")}})
    [found] = patient.look("heuristic-import")
    assert "no_such_module" in found.what
    assert f"not in the image {demo_images.bids_conversion}" in found.mend


def test_an_image_without_python_says_nothing_of_the_heuristic(patient: Patient, apptainer: Apptainer) -> None:
    in_apptainer(patient, apptainer, apptainer.image)
    patient.write(pipelines={"bids_conversion": {"enabled": True, "image": str(apptainer.image)}})
    assert [one.severity for one in patient.look("heuristic-import")] == ["skipped"]
