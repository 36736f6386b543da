"""The sbatch script is what was recorded, and no value of it can become shell code."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster.base import ArrayRequest, JobRequest
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.cluster.submit import script_text, warning_seconds
from neuroflow.cluster.template import render_script
from neuroflow.config.execution import PipelineSettings
from neuroflow.data import data_path
from neuroflow.domain import Resources
from neuroflow.errors import ClusterError, SubmissionRefused
from tests.cluster_layer.builders import config_in, python_job
from tests.cluster_layer.fakes import FakeTransport

RECORDED = Path(__file__).parent / "recorded"
LINES = ("--mail-type=FAIL", "#SBATCH --gres=scratch:10")


def job_in(root: Path, **changes: object) -> JobRequest:
    return replace(python_job(root, "pass", token="nf-qsiprep-7-0123456789ab"), **changes)  # type: ignore[arg-type]


def render(root: Path, job: JobRequest, **cluster: object) -> str:
    return SlurmCluster(config_in(root, kind="slurm", python="/opt/nf/bin/python", **cluster)).render(job)


def test_the_script_is_the_recorded_one(tmp_path: Path) -> None:
    job = job_in(
        tmp_path,
        folder="/data/o'neil lab/state/attempts/nf-qsiprep-7-0123456789ab",
        resources=Resources(cpus=8, memory_mb=40_000, time_minutes=1440, gpus=1),
        exclude_nodes=("n1", "n2"),
        settings=PipelineSettings(partition="long", sbatch_lines=("--licenses=fs",), setup_lines=("module load fsl",)),
    )
    text = render(
        tmp_path,
        job,
        account="lab",
        partition="main",
        qos="normal",
        constraint="avx2",
        sbatch_lines=LINES,
        setup_lines=("module load apptainer/1.4",),
        scratch="$SLURM_TMPDIR",
    )
    assert text == (RECORDED / "qsiprep.sbatch").read_text(encoding="utf-8")


def test_what_the_cluster_the_chosen_partition_and_the_pipeline_say_is_put_together(tmp_path: Path) -> None:
    job = job_in(
        tmp_path,
        resources=Resources(cpus=8, memory_mb=40_000, time_minutes=60, gpus=1, partition="gpu"),
        settings=PipelineSettings(gres="gpu:a100:1", setup_lines=("module load cuda",), sbatch_lines=("--nice=9",)),
    )
    gpu = {"account": "gpulab", "constraint": "a100", "setup_lines": ["nvidia-smi"], "sbatch_lines": ["--exclusive"]}
    text = render(
        tmp_path,
        job,
        account="lab",
        partition="auto",
        scratch="$TMPDIR",
        setup_lines=("module load apptainer",),
        partitions={"gpu": {**gpu, "scratch": "$SLURM_TMPDIR"}},
    )
    options = [line for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert [line.removeprefix("#SBATCH --") for line in options[-6:]] == [
        "account=gpulab",
        "partition=gpu",
        "constraint=a100",
        "gres=gpu:a100:1",
        "exclusive",
        "nice=9",
    ]
    assert "--gpus-per-node" not in text
    assert "module load apptainer\nnvidia-smi\nmodule load cuda\n" in text
    assert 'export NEUROFLOW_SCRATCH="$SLURM_TMPDIR"\n' in text


def array_in(
    root: Path, *, folder: str = "/data/o'neil lab/state/arrays/nf-array-qsiprep-0123456789ab"
) -> ArrayRequest:
    attempts = f"{Path(folder).parents[1]}/attempts"
    names = [f"nf-qsiprep-{number}-0123456789ab" for number in (7, 9, 12)]
    jobs = [job_in(root, token=name, folder=f"{attempts}/{name}") for name in names[:1]]
    jobs += [replace(jobs[0], token=name, folder=f"{attempts}/{name}") for name in names[1:]]
    return ArrayRequest(Path(folder).name, folder, tuple(jobs), at_once=2)


def test_a_job_that_others_go_before_says_so_to_slurm(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    assert "#SBATCH --nice=1000\n" in render(tmp_path, replace(job, nice=1000))
    assert "nice" not in render(tmp_path, job)


def test_the_script_of_an_array_is_the_recorded_one(tmp_path: Path) -> None:
    settings = config_in(tmp_path, kind="slurm", python="/opt/nf/bin/python", account="lab").cluster

    assert script_text(array_in(tmp_path), settings) == (RECORDED / "array.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["plain", 'it\'s a "lab"; $(touch x) `id` & *'])
def test_each_element_finds_its_attempts_folder(tmp_path: Path, name: str) -> None:
    """Run the script's own lines, with `srun` and `ln` replaced by what shows their arguments."""
    array = array_in(tmp_path, folder=str(tmp_path / name / "arrays" / "nf-array-qsiprep-1"))
    Path(array.folder).mkdir(parents=True)
    for job in array.jobs:
        Path(job.folder).mkdir(parents=True)
    (Path(array.folder) / "elements").write_text("".join(f"{Path(job.folder).name}\n" for job in array.jobs))
    text = script_text(array, config_in(tmp_path, kind="slurm", python="/py").cluster).replace("exec srun", "show")
    shown = 'show() { printf "%s\\n" "${@: -1}"; }\n'
    environment = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "605", "SLURM_ARRAY_TASK_ID": "2"}

    done = subprocess.run(["bash", "-c", shown + text], env=environment, capture_output=True, text=True, check=False)

    third = Path(array.jobs[2].folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert (third / "605_2_0_log.out").read_text() == f"{third}\n"
    assert (third / "605_2_submitted.pkl").readlink() == Path("payload.pkl")


def test_an_element_that_the_list_does_not_name_stops(tmp_path: Path) -> None:
    array = array_in(tmp_path, folder=str(tmp_path / "arrays" / "nf-array-qsiprep-1"))
    Path(array.folder).mkdir(parents=True)
    (Path(array.folder) / "elements").write_text("")
    text = script_text(array, config_in(tmp_path, kind="slurm").cluster)
    environment = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "605", "SLURM_ARRAY_TASK_ID": "0"}

    assert subprocess.run(["bash", "-c", text], env=environment, check=False).returncode == 70


@pytest.mark.parametrize("pipeline", ["bids_conversion", "qsiprep", "qsirecon", "qsiparc", "a_sites_own"])
def test_every_pipeline_has_a_script_that_bash_understands(tmp_path: Path, pipeline: str) -> None:
    text = render(tmp_path, job_in(tmp_path, pipeline=pipeline), setup_lines=("true",), scratch="$TMPDIR")
    assert text.startswith("#!/bin/bash\n# neuroflow: ")
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_sbatch_options_come_before_any_command(tmp_path: Path) -> None:
    lines = render(tmp_path, job_in(tmp_path), sbatch_lines=LINES, setup_lines=("true",)).splitlines()
    first = next(index for index, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]
    assert "#SBATCH --gres=scratch:10" in lines[:first]


def test_the_sites_own_excluded_nodes_and_those_that_failed_are_excluded_together(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    text = render(tmp_path, replace(job, exclude_nodes=("n1",)), sbatch_lines=("--exclude=n7,n8", "--mail-type=FAIL"))

    assert [line for line in text.splitlines() if "--exclude" in line] == ["#SBATCH --exclude=n1,n7,n8"]
    assert "#SBATCH --exclude=n7" in render(tmp_path, job, sbatch_lines=("--exclude=n7",))


HOSTILE = ["a b", "it's", 'say "x"', "; touch /tmp/x", "$(touch x)", "`touch x`", "$HOME", "*", "-rf", "é", "#x", "&&"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_name_stays_one_word(tmp_path: Path, name: str) -> None:
    folder = f"/data/{name}/attempts/t"
    lines = render(tmp_path, job_in(tmp_path, folder=folder)).splitlines()
    assert shlex.split(next(line for line in lines if line.startswith("attempt_folder="))) == [
        f"attempt_folder={folder}"
    ]
    assert lines[-1].endswith(' -m submitit.core._submit "$attempt_folder"')
    chdir = next(line for line in lines if line.startswith("#SBATCH --chdir="))
    assert shlex.split(chdir.removeprefix("#SBATCH "))[0] == f"--chdir={folder}"


@pytest.mark.parametrize(
    "bad", ["/data/a\nb/t", "/data/a\rb/t", "/data/\x1b/t", "/data/100%/t", "/data/a\\b/t", "data/t"]
)
def test_a_folder_that_slurm_would_misread_is_refused_before_anything_is_submitted(tmp_path: Path, bad: str) -> None:
    transport = FakeTransport()
    cluster = SlurmCluster(config_in(tmp_path, kind="slurm"), transport=transport)
    with pytest.raises(SubmissionRefused, match="job folder") as caught:
        cluster.submit(job_in(tmp_path, folder=bad))
    assert not caught.value.transient
    assert transport.calls == []


@pytest.mark.parametrize(
    "changes",
    [{"token": "a\nb"}, {"scope": "sub-01\n#SBATCH --uid=0"}, {"exclude_nodes": ("n1\nrm -rf /",)}],
)
def test_line_breaks_are_refused_everywhere(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ClusterError, match="line break"):
        render(tmp_path, job_in(tmp_path, **changes))


@pytest.mark.parametrize(
    "settings",
    [{"sbatch_lines": ("rm -rf /",)}, {"sbatch_lines": ("#!/bin/sh",)}, {"scratch": '$X"; rm -rf "/'}],
)
def test_site_lines_of_the_wrong_shape_are_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ClusterError, match=r"no sbatch option|double quote"):
        render(tmp_path, job_in(tmp_path), **settings)


def test_a_template_that_forgets_a_filter_or_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.sbatch.j2").write_text("{{ name }}")
    with pytest.raises(ClusterError, match="without a filter"):
        render_script("x", {"name": "; rm -rf /"}, folder=tmp_path)
    with pytest.raises(ClusterError, match="'name' is undefined"):
        render_script("x", {}, folder=tmp_path)


@pytest.mark.parametrize(("minutes", "seconds"), [(1440, 90), (5, 90), (4, 0), (1, 0)])
def test_a_short_job_is_not_warned_before_it_has_begun(minutes: int, seconds: int) -> None:
    assert warning_seconds(90, time_minutes=minutes) == seconds


def test_the_templates_are_found() -> None:
    assert (data_path("slurm") / "base.sbatch.j2").is_file()
