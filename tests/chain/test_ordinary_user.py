"""The chain as an ordinary user: no root's mounts, 64 MiB of container temporary space, job folders with odd names."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from tests.chain.site import PIPELINES, Site
from tests.chain.test_celery_slurm import real_site
from tests.chain.test_sync import check_against_truth
from tests.support.apptainer import Apptainer
from tests.support.demo_images import DemoImages
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
CHAIN_SECONDS = 400.0


@pytest.fixture
def home(ordinary_user: str) -> Iterator[Path]:
    """A folder of that user's own."""
    folder = Path(tempfile.mkdtemp(prefix="neuroflow-user-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def python_for(user: str, folder: Path) -> Path:
    """Return a Python that `user` may execute, with the packages of the one that runs the tests.

    Root's own Python may lie below /root, which is closed to others.
    """
    if os.geteuid() != 0:
        return Path(sys.executable)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.executable).resolve(), Path("/usr/bin") / name]
    usable = [path for path in candidates if path.exists() and may_execute(user, path)]
    require("slurm", bool(usable), f"install {name} where {user} can execute it, such as {candidates[1]}")
    subprocess.run([usable[0], "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=60)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    code, packages = CHECKOUT, Path(sysconfig.get_path("purelib"))
    if not may_read(user, code):
        code = folder / "code"
        for name in ("neuroflow", "slurm", "containers", "site-configs"):
            shutil.copytree(CHECKOUT / name, code / name)
    if not may_read(user, packages):
        packages = Path(shutil.copytree(packages, folder / "packages"))
    extra = older_pythons_packages(usable[0], folder / "extra")
    (site / "tests.pth").write_text(f"{code}\n{packages}\n{extra}\n", encoding="utf-8")
    return folder / "venv" / "bin" / "python"


def older_pythons_packages(python: Path, target: Path) -> Path:
    """Install what the packages of the Python that runs the tests lack on an older release of it."""
    target.mkdir()
    old = "import sys; sys.exit(sys.version_info >= (3, 11, 3))"
    if subprocess.run([python, "-c", old], check=False, timeout=30).returncode == 0:
        # redis asks for it below 3.11.3.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "async-timeout>=4"]
        subprocess.run(pip, check=True, timeout=120)
    return target


def images_for(user: str, folder: Path, images: DemoImages) -> DemoImages:
    """Return images that `user` may read: a checkout can lie in a folder that is closed to others."""
    if may_read(user, images.qsiparc):
        return images
    target = folder / "images"
    target.mkdir()
    return DemoImages(**{item.name: _copy(getattr(images, item.name), target) for item in fields(images)})


def _copy(image: Path, target: Path) -> Path:
    return Path(shutil.copy(image, target / image.name))


def may_read(user: str, path: Path) -> bool:
    command = as_user(user, ["test", "-r", str(path)])
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def may_execute(user: str, path: Path) -> bool:
    command = ["runuser", "-u", user, "--", str(path), "-c", "pass"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def as_user(user: str, command: list[str]) -> list[str]:
    return ["runuser", "-u", user, "--", *command] if os.geteuid() == 0 else command


def give(user: str, folder: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def test_services_carry_a_chain_through_with_spaces_and_quotes_in_every_path(
    home: Path, ordinary_user: str, slurm: Slurm, apptainer: Apptainer, demo_images: DemoImages
) -> None:
    python = python_for(ordinary_user, home)
    rootless = Apptainer(apptainer.program, (), apptainer.image)
    images = images_for(ordinary_user, home, demo_images)
    site = real_site(home / """it's "one" site""", slurm, rootless, images, "embedded")
    site.add_session("01", "01", seed=8)
    give(ordinary_user, home)
    neuroflow(ordinary_user, python, site, "db", "upgrade")
    with services(ordinary_user, python, site) as up:
        neuroflow(ordinary_user, python, site, "workflow", "run")
        wait_until_completed(ordinary_user, python, site, up)
    check_against_truth(site, {("sub-01", "ses-01")})
    attempts = list((site.root / "state" / "attempts").iterdir())
    assert {folder.owner() for folder in attempts} == {ordinary_user}
    assert {folder.stat().st_mode & 0o777 for folder in attempts} == {0o700}


def command_line(user: str, python: Path, site: Site, *arguments: str) -> list[str]:
    call = "from neuroflow.cli.main import main; main()"
    return as_user(user, [str(python), "-c", call, "--config", str(site.folder.config), *arguments])


def neuroflow(user: str, python: Path, site: Site, *arguments: str) -> str:
    command = command_line(user, python, site, *arguments)
    done = subprocess.run(command, cwd=site.root, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, "\n".join([done.stdout[-2000:], done.stderr[-2000:], *job_errors(site)])
    return done.stdout


@contextmanager
def services(user: str, python: Path, site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """Run `neuroflow up` (Redis, worker, beat) as that user until the block ends."""
    with (site.root / "up.log").open("wb") as log:
        up = subprocess.Popen(
            command_line(user, python, site, "up"), cwd=site.root, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: "beat: running" in status_of_services(user, python, site), up, site, seconds=60)
            yield up
        finally:
            up.terminate()
            up.wait(90)


def status_of_services(user: str, python: Path, site: Site) -> str:
    command = command_line(user, python, site, "up", "--status")
    return subprocess.run(command, cwd=site.root, capture_output=True, text=True, check=False, timeout=60).stdout


def wait_until_completed(user: str, python: Path, site: Site, up: subprocess.Popen[bytes]) -> None:
    def done() -> bool:
        runs = json.loads(neuroflow(user, python, site, "runs", "list", "--json"))["runs"]
        assert not [run for run in runs if run["status"] == "failed"], "\n".join([str(runs), *job_errors(site)])
        return [run["pipeline"] for run in runs if run["status"] == "completed"] == list(reversed(PIPELINES))

    wait_for(done, up, site, seconds=CHAIN_SECONDS)


def wait_for(condition: Callable[[], bool], up: subprocess.Popen[bytes], site: Site, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        log = (site.root / "up.log").read_text(encoding="utf-8", errors="replace")[-3000:]
        assert up.poll() is None, log
        assert time.monotonic() < deadline, "\n".join([log, *job_errors(site)])
        time.sleep(1.0)


def job_errors(site: Site) -> list[str]:
    """Return the ends of the jobs' error output, for a failed test's message."""
    logs = sorted((site.root / "state" / "attempts").glob("*/*log.err"))
    return [f"{path.name}: {path.read_text(encoding='utf-8', errors='replace')[-2000:]}" for path in logs]
