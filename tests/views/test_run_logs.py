"""What attempts left is found wherever it is now."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.records import attempt_files
from neuroflow.domain import AttemptRecord, Bind
from neuroflow.errors import NotFoundError
from neuroflow.orchestrator.services import Services
from neuroflow.views.repeat import repeat_attempt, shell_word
from neuroflow.views.run_logs import crash_files, list_files, script_of, tail_offset
from tests.cluster_layer.builders import WRITES, attempt_of, python_job

SERVICES = cast("Services", SimpleNamespace(folders=lambda where: LocalFolders()))
HOSTILE = "a b'c;$(touch x)\n\x1b[2J"


def made(job: JobRequest) -> AttemptRecord:
    LocalFolders().make({job.folder: attempt_files(job)})
    return attempt_of(job, job_id="17", where="local")


def write(path: Path, text: str = "Traceback\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("lines", "rest"), [(1, "c\n"), (2, "\nc\n"), (3, "b\n\nc\n"), (9, "a\nb\n\nc\n")])
def test_the_last_lines_are_found_from_the_end(tmp_path: Path, lines: int, rest: str) -> None:
    path = tmp_path / "log[1].txt"
    path.write_text("a\nb\n\nc\n")
    assert path.read_text()[tail_offset(LocalFolders(), str(path), lines=lines) :] == rest


def test_of_a_large_log_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as stream:
        stream.seek(2 * 1024**3)
        stream.write(b"\nlast but one\nlast\n")
    assert tail_offset(LocalFolders(), str(path), lines=2) == 2 * 1024**3 + 1
    with pytest.raises(FileNotFoundError):
        tail_offset(LocalFolders(), str(tmp_path / "none"), lines=2)


def test_crash_files_are_found_in_the_output_in_quarantine_and_in_the_work_folder(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, crash_globs=("sub-01/**/log/**/crash-*", "logs/crash-*"))
    output, work = Path(job.run.output_dir), Path(job.run.work_dir)
    write(output / "logs" / "crash-1.txt")
    write(output.parent / "quarantine" / "next" / output.name / "sub-01" / "log" / "x" / "crash-2.pklz")
    write(output.parent / "quarantine" / "next" / "out-other" / "logs" / "crash-9.txt")
    attempt = made(job)
    write(work / "crash-3.txt")
    write(work / "crash-0.txt")
    os.utime(work / "crash-0.txt", (0, 0))  # an earlier attempt's
    found = {Path(crash.path).name: crash.is_text for crash in crash_files(SERVICES, attempt)}
    assert found == {"crash-1.txt": True, "crash-2.pklz": False, "crash-3.txt": True}


def test_the_files_of_an_attempt_are_listed_with_what_they_are(tmp_path: Path) -> None:
    attempt = made(python_job(tmp_path, WRITES))
    listed = {one.name: one.meaning for one in list_files(SERVICES, attempt)}
    assert listed["job.json"] == "what the job was to do"
    with pytest.raises(NotFoundError):
        list_files(SERVICES, replace(attempt, folder=str(tmp_path / "none")))


def test_the_script_is_the_arrays_own_where_there_was_one(tmp_path: Path) -> None:
    attempt = replace(made(python_job(tmp_path, WRITES)), where="slurm")
    write(Path(attempt.folder) / "submission.sh", "#!/bin/bash\nown\n")
    write(tmp_path / "state" / "arrays" / "nf-array-1" / "submission.sh", "#!/bin/bash\narray\n")
    assert script_of(SERVICES, attempt).data == b"#!/bin/bash\nown\n"
    element = script_of(SERVICES, replace(attempt, array_token="nf-array-1", array_index=3))
    assert element.data == b"#!/bin/bash\narray\n"
    assert "element 3" in element.note
    with pytest.raises(NotFoundError, match="ran as a process"):
        script_of(SERVICES, replace(attempt, where="local"))


def run_by_hand(attempt: AttemptRecord, folder: Path) -> None:
    repeat = repeat_attempt(SERVICES, attempt, folder=str(folder))
    text = "\n".join([*(f"# {note}" for note in repeat.notes), *repeat.lines])
    subprocess.run(["bash", "-c", text], check=True, timeout=30, stdin=subprocess.DEVNULL)


def test_the_lines_repeat_an_attempt_elsewhere(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, environment={"GREETING": HOSTILE}, before=(("touch", "before"),))
    folder = tmp_path / "again and 'again'"
    run_by_hand(made(job), folder)
    assert (folder / "out" / "sub-01" / "dwi" / "a.txt").read_bytes() == HOSTILE.encode()
    assert (folder / "work" / "before").exists()
    assert not Path(job.run.output_dir).exists(), "the attempt's own folders are left alone"


def test_what_the_site_loads_before_a_job_is_loaded_again(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, before=(("touch", "before"),))
    attempt = replace(made(job), where="slurm")
    recorded = Path(__file__).parents[1] / "cluster_layer" / "recorded" / "qsiprep.sbatch"
    text = recorded.read_text(encoding="utf-8").replace("module load fsl", 'export MY_PASSWORD="s3cret"')
    write(Path(attempt.folder) / "submission.sh", text)
    lines = repeat_attempt(SERVICES, attempt, folder="/again").lines
    at = lines.index("module load apptainer/1.4")
    assert lines[:3] == ("(", "set -e", "if ! type module >/dev/null 2>&1; then")
    assert at < lines.index("mkdir -p /again/out /again/work /again/tmp")
    assert not [line for line in lines if "SUBMITIT" in line or "#" in line or "s3cret" in line]


def test_lines_steer_no_terminal_and_hold_no_secret(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, environment={"API_TOKEN": "s3cret", "GREETING": HOSTILE})
    command = ("apptainer", "run", "--env", '"A=1","DB_PASSWORD=s3cret ""x"""', "--api-key=s3cret", HOSTILE)
    repeat = repeat_attempt(SERVICES, made(replace(job, command=command)), folder=str(tmp_path / HOSTILE))
    text = "\n".join(repeat.lines)
    assert "s3cret" not in text + str(repeat.command) + str(repeat.environment)
    assert "\x1b" not in text
    assert any("masked" in note for note in repeat.notes)
    assert repeat.lines[2].startswith("unset APPTAINER_BIND ")


def test_what_is_not_there_any_more_is_named(tmp_path: Path) -> None:
    gone = tmp_path / 'gone "x"'
    run: dict[str, Any] = {"binds": (Bind(str(gone), "/in"),), "image": "/images/none.sif"}
    mount = '"source=' + str(gone).replace('"', '""') + '"'
    job = replace(python_job(tmp_path, WRITES, **run), command=("apptainer", "--mount", f"type=bind,{mount},ro"))
    notes = repeat_attempt(SERVICES, made(job), folder="/again").notes
    assert [note for note in notes if note.startswith("NOT THERE")] == [
        "NOT THERE ANY MORE: /images/none.sif",
        f"NOT THERE ANY MORE: {gone}",
    ]


@pytest.mark.parametrize("text", ["", "plain", "it's", HOSTILE, "\\n", "é\x85\u2028", "*"])
def test_a_word_stays_what_it_is(text: str) -> None:
    shown = shell_word(text)
    assert shown.isprintable()
    said = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True, timeout=10).stdout
    assert said == text.encode()
