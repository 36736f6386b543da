"""What each pipeline's run promises: its outputs, what it owns, and what it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.qsiprep import BAD_INPUT
from neuroflow.domain import ContainerRun
from neuroflow.errors import AdapterError
from tests.adapters.requests import SETTINGS, after, make_request


def _patterns(run: ContainerRun) -> list[str]:
    return [rule.pattern for rule in run.outputs]


def test_an_unknown_pipeline_is_named() -> None:
    with pytest.raises(AdapterError, match="there are: bids_conversion, qsiprep"):
        get_adapter("fmriprep")


def test_building_writes_nothing(tmp_path: Path) -> None:
    for pipeline in SETTINGS:
        get_adapter(pipeline).build(make_request(pipeline, root=tmp_path))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["", "a b", "../x", "é", "a+b", "*", "-x"])
@pytest.mark.parametrize("pipeline", SETTINGS)
def test_labels_that_are_no_labels_are_refused(pipeline: str, label: str) -> None:
    with pytest.raises(AdapterError, match="letters and digits"):
        get_adapter(pipeline).build(make_request(pipeline, subject=label))


@pytest.mark.parametrize("pipeline", SETTINGS)
def test_configured_outputs_replace_the_defaults(pipeline: str) -> None:
    request = make_request(pipeline, settings={"outputs": ["sub-{subject}/{x}/*_{session}.txt", "all.html"]})

    sessions = ("01", "02") if pipeline == "qsiprep" else ("01",)
    expected = [*(f"sub-0042/{{x}}/*_{session}.txt" for session in sessions), "all.html"]
    assert _patterns(get_adapter(pipeline).build(request)) == expected


def test_a_sessions_qsiprep_owns_its_session_alone() -> None:
    settings = {"level": "session", "subject_anatomical_reference": "sessionwise"}

    run = get_adapter("qsiprep").build(make_request("qsiprep", session="02", sessions=("02",), settings=settings))

    assert run.owned == ("sub-0042/ses-02",)
    assert _patterns(run) == [f"sub-0042/ses-02/dwi/*_desc-preproc_dwi.{end}" for end in ("nii.gz", "bval", "bvec")]
    assert run.arguments[run.arguments.index("--session-label") :][:2] == ("--session-label", "02")


def test_settings_of_another_pipeline_are_refused() -> None:
    request = make_request("qsiparc", settings={}).__class__(
        **{**vars(make_request("qsiparc")), "settings": SETTINGS["qsiprep"]()}
    )

    with pytest.raises(AdapterError, match="QSIParcSettings"):
        get_adapter("qsiparc").build(request)


def test_a_conversion_starts_from_links_to_the_image_files() -> None:
    request = make_request("bids_conversion")
    run = get_adapter("bids_conversion").build(request)

    staged = f"dicom-{request.token}"
    assert run.before[-1][3:5] == (request.source_path, f"{request.work_dir}/{staged}")
    assert run.before[-1][-1] == "--link-prefix=/dicom"
    assert after(run.arguments, "--files") == f"/work/{staged}"
    assert run.owned == ("sub-0042/ses-01",)


@pytest.mark.parametrize(
    ("python", "program"), [("/nodes/bin/python3", "/nodes/bin/heudiconv"), ("python3.11", "heudiconv")]
)
def test_a_tool_of_the_host_lies_beside_the_python_of_where_it_runs(python: str, program: str) -> None:
    request = make_request("bids_conversion", runtime="host", python=python)
    assert get_adapter("bids_conversion").build(request).program == (program,)


def test_on_the_host_the_links_point_at_the_dicom_folder_itself() -> None:
    run = get_adapter("bids_conversion").build(make_request("bids_conversion", runtime="host"))

    assert not [word for word in run.before[-1] if word.startswith("--link-prefix")]


def test_where_discovery_leaves_nothing_out_the_stagings_defaults_do_not_either() -> None:
    run = get_adapter("bids_conversion").build(make_request("bids_conversion", ignore=()))

    assert [word for word in run.before[-1] if word.startswith("--ignore")] == ["--ignore="]


def test_heudiconvs_notes_are_new_for_each_attempt_and_not_in_the_dataset() -> None:
    run = get_adapter("bids_conversion").build(make_request("bids_conversion"))

    assert after(run.arguments, "-o") == "/work/heudiconv-nf-bids_conversion-7-0123456789ab"
    assert after(run.arguments, "-a") == "/out"


def test_a_conversion_needs_a_dicom_folder_and_a_session() -> None:
    for changes, reason in (({"source_path": None}, "no DICOM folder"), ({"session": None}, "runs per session")):
        with pytest.raises(AdapterError, match=reason):
            get_adapter("bids_conversion").build(make_request("bids_conversion", **changes))


def test_on_the_host_heudiconv_can_not_write_into_a_path_with_a_space() -> None:
    with pytest.raises(AdapterError, match="path with a space") as caught:
        get_adapter("bids_conversion").build(make_request("bids_conversion", root="/my data", runtime="host"))

    assert "paths.work_root" in caught.value.hint


def test_qsiprep_must_preprocess_every_session_of_its_run() -> None:
    run = get_adapter("qsiprep").build(make_request("qsiprep"))

    for session in ("01", "02"):
        for ending in ("nii.gz", "bval", "bvec"):
            assert f"sub-0042/ses-{session}/dwi/*_desc-preproc_dwi.{ending}" in _patterns(run)


def test_qsiprep_without_sessions_is_refused() -> None:
    with pytest.raises(AdapterError, match="covers no session of sub-0042"):
        get_adapter("qsiprep").build(make_request("qsiprep", sessions=()))


def test_qsipreps_memory_is_in_megabytes_and_below_the_request() -> None:
    arguments = get_adapter("qsiprep").build(make_request("qsiprep")).arguments

    assert after(arguments, "--mem") == "30400"
    assert (after(arguments, "--nprocs"), after(arguments, "--omp-nthreads")) == ("8", "7")


@pytest.mark.parametrize(
    "line",
    [
        "Exception: No DWI images found for participant 0042.",
        "qsiprep: error: No DWI files found with session filter ['01']",
        "FileNotFoundError: No T1w images found for subject sub-0042",
        "One or more participant labels were not found in the BIDS directory: 0042.",
    ],
)
def test_qsipreps_refusals_are_known(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in BAD_INPUT)


def test_a_missing_t1w_that_is_no_problem_is_no_refusal() -> None:
    line = "No T1w images found for subject sub-1, but no problem because --anat-modality none was selected."

    assert not any(re.search(pattern, line) for pattern in BAD_INPUT)


def test_qsirecon_must_leave_a_derivative_and_every_atlas() -> None:
    request = make_request("qsirecon", settings={"atlases": ["4S156Parcels", "AAL116"]})

    assert _patterns(get_adapter("qsirecon").build(request)) == [
        "derivatives/qsirecon-*/sub-0042/ses-01/dwi/*",
        "sub-0042/ses-01/dwi/*_seg-4S156Parcels_*dseg.nii.gz",
        "sub-0042/ses-01/dwi/*_seg-AAL116_*dseg.nii.gz",
    ]


@pytest.mark.parametrize("ending", [".yaml", ".yml", ".json"])
def test_qsirecon_gets_a_recon_spec_file_and_datasets_through_binds(ending: str) -> None:
    settings = {"recon_spec": f"/specs/my spec{ending}", "datasets": {"my-atlases": "/atl as"}}
    run = get_adapter("qsirecon").build(make_request("qsirecon", settings=settings))

    assert after(run.arguments, "--recon-spec") == f"/input/recon_spec{ending}"
    assert after(run.arguments, "--datasets") == "my-atlases=/datasets/my-atlases"
    sources = {bind.target: bind.source for bind in run.binds}
    assert sources[f"/input/recon_spec{ending}"] == f"/specs/my spec{ending}"
    assert sources["/datasets/my-atlases"] == "/atl as"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"recon_spec": "spec.yaml"}, "relative path"), ({"datasets": {"a/b": "/x"}}, "can't be a dataset's name")],
)
def test_qsirecon_settings_that_can_not_be_bound_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(AdapterError, match=reason):
        get_adapter("qsirecon").build(make_request("qsirecon", settings=settings))


def test_qsirecon_without_a_freesurfer_licence_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(AdapterError, match=r"paths\.freesurfer_license is not set"):
        get_adapter("qsirecon").build(make_request("qsirecon", paths={"freesurfer_license": None}))


def test_qsirecon_may_get_its_licence_elsewhere() -> None:
    request = make_request(
        "qsirecon", paths={"freesurfer_license": None}, settings={"environment": {"FS_LICENSE": "/image/license.txt"}}
    )

    run = get_adapter("qsirecon").build(request)

    assert "--fs-license-file" not in run.arguments
    assert run.environment["FS_LICENSE"] == "/image/license.txt"


def test_templates_are_the_sites_or_those_of_qsirecons_image() -> None:
    own = get_adapter("qsirecon").build(make_request("qsirecon"))
    baked = get_adapter("qsirecon").build(make_request("qsirecon", paths={"templateflow_home": None}))
    host = get_adapter("qsirecon").build(make_request("qsirecon", runtime="host"))

    assert own.environment["TEMPLATEFLOW_HOME"] == "/templateflow"
    assert baked.environment["TEMPLATEFLOW_HOME"] == "/home/qsirecon/.cache/templateflow"
    assert host.environment["TEMPLATEFLOW_HOME"] == "/data/templateflow"
    assert not [bind for bind in own.binds if bind.target.startswith("/home")]


def test_qsiparc_reads_the_root_of_qsirecons_dataset_and_overwrites_cut_tables() -> None:
    request = make_request("qsiparc", settings={"scalars": ["fa", "md"], "atlases": ["A"]})
    run = get_adapter("qsiparc").build(request)

    assert {bind.target: bind.source for bind in run.binds}["/qsirecon"] == "/data/derivatives/qsirecon"
    assert run.arguments[:3] == ("run", "/qsirecon", "/out")
    assert [after(run.arguments[i:], "--scalars") for i, word in enumerate(run.arguments) if word == "--scalars"] == [
        "fa",
        "md",
    ]
    assert "--force" in run.arguments
