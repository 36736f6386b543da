"""Hostile paths, variables and arguments arrive unharmed in a real Apptainer container."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.adapters.runtimes import command_line
from neuroflow.domain import Bind, ContainerRun
from tests.adapters.requests import make_request
from tests.support.require import require

pytestmark = pytest.mark.apptainer

# What Docker images become: the entry point runs with the arguments, which a shell expands unless --no-eval is set.
RUN_SCRIPT = """#!/bin/sh
if [ -n "$SINGULARITY_NO_EVAL" ]; then exec /bin/sh /entry "$@"; fi
eval "exec /bin/sh /entry $*"
"""
ENTRY = """
printf '%s\\0' "$@" > /out/arguments
cat /proc/self/environ > /out/environ
pwd > /out/pwd
for f in /bids /dicom; do if [ -d "$f" ]; then cat "$f/file" >> /out/content; fi; done
echo x > "$HOME/home-is-writable"
echo x > /tmp/in-tmp
echo x > /var/tmp/in-var-tmp
if echo x 2>/dev/null > /bids/file; then echo written > /out/read-only-was-writable; fi
"""
HOSTILE = "ho st; it's \"q\" 'a,b:c' \\ $HOME `id` $(id) \n line [x]*?{y} é % -"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sandbox folder with busybox in it: a container image that needs no download and no build."""
    busybox = shutil.which("busybox")
    require("apptainer", shutil.which("apptainer") is not None, "install Apptainer")
    require("busybox", busybox is not None, "install a static busybox")
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "proc", "sys", "dev", "tmp", "var/tmp", "etc", "home", ".singularity.d"):
        (root / name).mkdir(parents=True)
    shutil.copy(str(busybox), root / "bin" / "busybox")
    for name in ("sh", "cat", "pwd"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "entry").write_text(ENTRY)
    script = root / ".singularity.d" / "runscript"
    script.write_text(RUN_SCRIPT)
    script.chmod(0o755)
    return str(root)


def _container_run(root: Path, image: str) -> ContainerRun:
    request = make_request("qsiprep", image=image, containers={"runtime_args": ["--userns"]})
    run = get_adapter("qsiprep").build(request)
    folders = {name: root / HOSTILE / name for name in ("bids", "work", "out", "scratch")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (folders["bids"] / "file").write_text("the data")
    return replace(
        run,
        binds=(
            Bind(str(folders["work"]), "/work", read_only=False),
            Bind(str(folders["out"]), "/out", read_only=False),
            Bind(str(folders["bids"]), "/bids", read_only=True),
        ),
        work_dir=str(folders["work"]),
        output_dir=str(folders["out"]),
    )


def _execute(run: ContainerRun, *, scratch: str | None = None, cwd: Path) -> Path:
    done = subprocess.run(
        command_line(run, scratch=scratch), capture_output=True, text=True, timeout=120, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return Path(run.output_dir)


def test_binds_variables_and_arguments_arrive_as_they_are(tmp_path: Path, image: str) -> None:
    values = {
        "COMMAS": "a,b=c,",
        "QUOTES": '"q" it\'s "',
        "SHELL": "$HOME `id` $(id) ${x ; rm & |",
        "BACKSLASH": "a\\b\\",
        "LINES": "one\ntwo\n",
        "EMPTY": "",
        "SPACES": "  x  ",
        "OTHERS": "é\t[*]?{}!%#~",
    }
    arguments = (HOSTILE, "", "  ", "$HOME", "`id`", "a\\", '"', "'", "*", "--x=a,b")
    run = _container_run(tmp_path, image)
    run = replace(run, environment={**run.environment, **values}, arguments=arguments)
    scratch = tmp_path / HOSTILE / "scratch"

    out = _execute(run, scratch=str(scratch), cwd=tmp_path)

    assert (out / "arguments").read_text().split("\0")[:-1] == list(arguments)
    environment = dict(item.split("=", 1) for item in (out / "environ").read_text().split("\0") if "=" in item)
    assert {name: environment.get(name) for name in run.environment} == dict(run.environment)
    assert (out / "content").read_text() == "the data"
    assert not (out / "read-only-was-writable").exists()
    assert environment["HOME"] == "/work"
    assert (out / "pwd").read_text() == "/work\n"
    assert (Path(run.work_dir) / "home-is-writable").exists()
    assert {path.name for path in scratch.iterdir()} == {"in-tmp", "in-var-tmp"}


def test_nothing_of_the_hosts_environment_or_home_is_inside(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    run = _container_run(tmp_path, image)
    (Path(run.work_dir) / "tmp").mkdir()

    out = _execute(run, cwd=tmp_path)

    names = {item.partition("=")[0] for item in (out / "environ").read_text().split("\0")}
    assert not names & {"PYTHONPATH", "SLURM_JOB_ID"}
    assert {path.name for path in (Path(run.work_dir) / "tmp").iterdir()} == {"in-tmp", "in-var-tmp"}
    assert not (Path.home() / "home-is-writable").exists()
