"""The sbatch script is what was recorded, and no value of it can become shell code."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.cluster.submit import warning_seconds
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


HOSTILE = ["a b", "it's", 'say "x"', "; touch /tmp/x", "$(touch x)", "`touch x`", "$HOME", "*", "-rf", "é", "#x", "&&"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_name_stays_one_word(tmp_path: Path, name: str) -> None:
    folder = f"/data/{name}/attempts/t"
    lines = render(tmp_path, job_in(tmp_path, folder=folder)).splitlines()
    assert shlex.split(lines[-1])[-1] == folder
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
