"""The chain as an ordinary user: no root's mounts, 64 MiB of container temporary space, job folders with odd names."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from tests.chain.site import Site
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
    (site / "tests.pth").write_text(f"{code}\n{packages}\n", encoding="utf-8")
    return folder / "venv" / "bin" / "python"


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


def test_chain_with_spaces_and_quotes_in_every_path(
    home: Path, ordinary_user: str, slurm: Slurm, apptainer: Apptainer, demo_images: DemoImages
) -> None:
    python = python_for(ordinary_user, home)
    rootless = Apptainer(apptainer.program, (), apptainer.image)
    images = images_for(ordinary_user, home, demo_images)
    site = real_site(home / """it's "one" site""", slurm, rootless, images, "redis://127.0.0.1:1/0")
    site.add_session("01", "01", seed=8)
    give(ordinary_user, home)
    neuroflow(ordinary_user, python, site, "db", "upgrade")
    neuroflow(ordinary_user, python, site, "workflow", "run", "--sync")
    check_against_truth(site, {("sub-01", "ses-01")})
    attempts = list((site.root / "state" / "attempts").iterdir())
    assert {folder.owner() for folder in attempts} == {ordinary_user}
    assert {folder.stat().st_mode & 0o777 for folder in attempts} == {0o700}


def neuroflow(user: str, python: Path, site: Site, *arguments: str) -> None:
    call = "from neuroflow.cli.main import main; main()"
    command = [str(python), "-c", call, "--config", str(site.folder.config), *arguments]
    done = subprocess.run(
        as_user(user, command), cwd=site.root, capture_output=True, text=True, check=False, timeout=CHAIN_SECONDS
    )
    assert done.returncode == 0, "\n".join([done.stdout[-2000:], done.stderr[-2000:], *job_errors(site)])


def job_errors(site: Site) -> list[str]:
    """Return the ends of the jobs' error output, for a failed test's message."""
    logs = sorted((site.root / "state" / "attempts").glob("*/*log.err"))
    return [f"{path.name}: {path.read_text(encoding='utf-8', errors='replace')[-2000:]}" for path in logs]
