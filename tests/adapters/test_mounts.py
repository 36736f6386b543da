"""Hostile paths reach the tool unharmed, and paths that can't are refused."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.mounts import Mounts
from neuroflow.adapters.runtimes import command_line
from neuroflow.domain import Bind
from neuroflow.errors import AdapterError
from tests.adapters.requests import SETTINGS, make_request

# Configured paths hold no line breaks; a DICOM folder's name may.
HOSTILE = '/da ta/it\'s;"q",a:b\\c$(id)`id` [x]*{y}é'


def _mounted(command: tuple[str, ...]) -> dict[str, str]:
    """Read the --mount options as the runtimes do: one CSV record each."""
    found = {}
    for option, value in pairwise(command):
        if option == "--mount":
            (record,) = csv.reader([value], strict=True)
            fields = dict(field.split("=", 1) for field in record if "=" in field)
            found[fields["destination"]] = fields["source"]
    return found


@pytest.mark.parametrize("runtime", ["apptainer", "singularity", "docker", "podman"])
@pytest.mark.parametrize("pipeline", SETTINGS)
def test_hostile_paths_survive_the_mount_options(pipeline: str, runtime: str) -> None:
    run = get_adapter(pipeline).build(make_request(pipeline, root=HOSTILE, runtime=runtime))

    mounted = _mounted(command_line(run, scratch=f"{HOSTILE}/scratch"))

    assert mounted["/tmp"] == f"{HOSTILE}/scratch"
    assert {bind.target: bind.source for bind in run.binds}.items() <= mounted.items()
    assert all(source.startswith(HOSTILE) for target, source in mounted.items() if target != "/heuristic/heuristic.py")


def test_a_line_break_in_a_dicom_folders_name_survives() -> None:
    request = replace(make_request("bids_conversion"), source_path="/dicom/a$HOME\nb")
    run = get_adapter("bids_conversion").build(request)

    assert _mounted(command_line(run))["/dicom"] == "/dicom/a$HOME\nb"
    assert "/dicom/a$HOME\nb" in run.before[-1]


@pytest.mark.parametrize("pipeline", SETTINGS)
def test_in_a_container_no_argument_names_a_host_path(pipeline: str) -> None:
    run = get_adapter(pipeline).build(make_request(pipeline, root=HOSTILE))

    assert not [word for word in run.arguments if HOSTILE in word]


@pytest.mark.parametrize("pipeline", SETTINGS)
def test_on_the_host_there_are_no_binds_and_paths_are_whole_arguments(pipeline: str) -> None:
    root = HOSTILE.replace(" ", "") if pipeline == "bids_conversion" else HOSTILE
    run = get_adapter(pipeline).build(make_request(pipeline, root=root, runtime="host"))

    assert run.binds == ()
    assert run.image is None
    assert run.output_dir in run.arguments


def test_only_the_work_and_output_folders_are_writable() -> None:
    for pipeline in SETTINGS:
        run = get_adapter(pipeline).build(make_request(pipeline))
        assert {bind.target for bind in run.binds if not bind.read_only} == {"/work", "/out"}


def test_without_scratch_tmp_is_in_the_work_folder() -> None:
    run = get_adapter("qsiparc").build(make_request("qsiparc"))

    assert _mounted(command_line(run))["/tmp"] == f"{run.work_dir}/tmp"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/a:/b", Bind("/a", "/b", read_only=False)),
        ("/a:/b:ro", Bind("/a", "/b", read_only=True)),
        ("/a:/b:rw", Bind("/a", "/b", read_only=False)),
    ],
)
def test_binds_of_the_configuration_are_added(text: str, bind: Bind) -> None:
    run = get_adapter("qsiparc").build(make_request("qsiparc", containers={"binds": [text]}))

    assert run.binds[-1] == bind


@pytest.mark.parametrize("text", ["/a", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x", ""])
def test_a_misspelled_bind_is_refused(text: str) -> None:
    with pytest.raises(AdapterError, match="is not /host/path:/container/path"):
        get_adapter("qsiparc").build(make_request("qsiparc", containers={"binds": [text]}))


def test_a_bind_over_one_of_ours_is_refused() -> None:
    with pytest.raises(AdapterError, match="two folders are bound at /out"):
        get_adapter("qsiparc").build(make_request("qsiparc", containers={"binds": ["/a:/out"]}))


@pytest.mark.parametrize("path", ["relative/path", "/with\r\nreturn", "/with\0nul"])
def test_paths_that_no_runtime_can_bind_are_refused(path: str) -> None:
    with pytest.raises(AdapterError, match=r"relative|carriage return"):
        Mounts("apptainer").add("/x", path)
