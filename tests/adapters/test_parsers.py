"""The command lines are accepted by the tools' own parsers, and mean what they should.

QSIPrep's releases are installed from PyPI into a cache folder. QSIRecon is not on PyPI: no test here runs its parser;
its recorded command lines follow its sources (qsirecon/cli/parser.py, 1.0.1 to 26.0.0).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neuroflow.adapters import get_adapter
from neuroflow.domain import ContainerRun
from tests.adapters.requests import make_request
from tests.support.require import require

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "parsers"
CHECKOUT = Path(__file__).parents[2]
VERSIONS = [line for line in (HERE / "qsiprep_versions.txt").read_text().splitlines() if line[:1].isdigit()]
INSTALL_SECONDS = 300


def _cache() -> Path:
    return Path(os.environ.get("NEUROFLOW_TEST_CACHE") or CHECKOUT / ".cache").resolve()


def _install(target: Path, *requirements: str) -> None:
    """Install into a folder, once; the folder has its name only after everything is in it."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    try:
        subprocess.run(
            [*installer, "-q", "--no-deps", "--target", str(partial), *requirements],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
        partial.rename(target)
    except (subprocess.SubprocessError, OSError) as error:
        text = f"PyPI did not give {' '.join(requirements)}: {getattr(error, 'stderr', '') or error}"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@pytest.fixture(scope="session", params=VERSIONS)
def qsiprep(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A release of QSIPrep, and the folder that it is installed in."""
    require("demo", importlib.util.find_spec("nipype") is not None, "install the extra `demo`")
    version: str = request.param
    _install(_cache() / "parsers" / "shared", "-r", str(HERE / "requirements.txt"))
    folder = _cache() / "parsers" / f"qsiprep-{version}"
    _install(folder, f"qsiprep=={version}")
    return version, folder


def _parse(folder: Path, arguments: tuple[str, ...]) -> tuple[int, dict[str, Any], str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{folder.parent / 'shared'}",
        "TEMPLATEFLOW_HOME": str(folder.parent / "templateflow"),
        "TEMPLATEFLOW_AUTOUPDATE": "0",
        "NO_ET": "1",
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "parse_qsiprep.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    parsed = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return done.returncode, parsed, done.stderr


def _run(version: str, root: Path, **settings: object) -> ContainerRun:
    """Build a run whose paths exist: on the host, the parser sees them as they are."""
    for name in ("bids", "templateflow"):
        (root / name).mkdir(parents=True)
    (root / "license.txt").touch()
    (root / "filter.json").write_text("{}")
    request = make_request("qsiprep", root=root, runtime="host", version=version, settings=settings)
    return get_adapter("qsiprep").build(request)


def test_qsiprep_takes_the_command_line(qsiprep: tuple[str, Path], tmp_path: Path) -> None:
    version, folder = qsiprep
    root = tmp_path / 'ho st; it\'s "q",:'
    run = _run(version, root, anat_modality="T1w", bids_filter_file=str(root / "filter.json"))

    code, parsed, errors = _parse(folder, run.arguments)

    assert code == 0, errors
    assert parsed["bids_dir"] == str(root / "bids")
    assert parsed["output_dir"] == run.output_dir
    assert parsed["analysis_level"] == "participant"
    assert parsed["participant_label"] == ["0042"]
    assert parsed.get("session_label", parsed.get("session_id")) == ["01", "02"]
    assert parsed["output_resolution"] == 2.0
    assert parsed["work_dir"] == run.work_dir
    assert (parsed["nprocs"], parsed["omp_nthreads"]) == (8, 7)
    assert parsed["memory_gb"] == pytest.approx(30.4)
    assert parsed["bids_filters"] == {}
    assert parsed["notrack"]
    assert parsed["skip_bids_validation"]
    assert parsed["stop_on_first_crash"]


@pytest.mark.parametrize("reference", ["first-lex", "unbiased", "sessionwise"])
def test_qsiprep_knows_each_anatomical_reference(qsiprep: tuple[str, Path], tmp_path: Path, reference: str) -> None:
    version, folder = qsiprep

    code, parsed, errors = _parse(folder, _run(version, tmp_path, subject_anatomical_reference=reference).arguments)

    assert code == 0, errors
    expected = {"first-lex": {"first-lex", "first-alphabetically"}}.get(reference, {reference})
    assert parsed["subject_anatomical_reference"] in expected


def test_qsiprep_takes_a_session_of_its_own(qsiprep: tuple[str, Path], tmp_path: Path) -> None:
    version, folder = qsiprep
    for name in ("bids", "templateflow"):
        (tmp_path / name).mkdir()
    (tmp_path / "license.txt").touch()
    settings = {"level": "session", "subject_anatomical_reference": "sessionwise"}
    request = make_request(
        "qsiprep", root=tmp_path, runtime="host", version=version, settings=settings, session="02", sessions=("02",)
    )

    code, parsed, errors = _parse(folder, get_adapter("qsiprep").build(request).arguments)

    assert code == 0, errors
    assert parsed.get("session_label", parsed.get("session_id")) == ["02"]
    assert parsed["subject_anatomical_reference"] == "sessionwise"


def test_qsiprep_refuses_the_other_spelling(qsiprep: tuple[str, Path], tmp_path: Path) -> None:
    version, folder = qsiprep
    other = "26.0.0" if version.startswith("26.1") else "26.1.1"

    code, _, errors = _parse(folder, _run(other, tmp_path).arguments)

    assert code == 2, "the spellings differ no more: neuroflow.adapters.versions may be simpler"
    assert "unrecognized arguments" in errors or "invalid choice: 'first-lex'" in errors


def test_heudiconv_takes_the_command_line(tmp_path: Path) -> None:
    require("demo", importlib.util.find_spec("heudiconv") is not None, "install the extra `demo`")
    code = "import sys, json; from heudiconv.cli.run import get_parser; "
    code += "print(json.dumps(vars(get_parser().parse_args(sys.argv[1:])), default=str))"
    request = make_request("bids_conversion", root=tmp_path / "host;it's,", runtime="host")
    run = get_adapter("bids_conversion").build(request)

    done = subprocess.run(
        [sys.executable, "-c", code, *run.arguments], capture_output=True, text=True, timeout=120, check=True
    )

    parsed = json.loads(done.stdout.splitlines()[-1])
    assert parsed["files"] == [f"{request.work_dir}/dicom-{request.token}"]
    assert (parsed["subjs"], parsed["session"]) == (["0042"], "01")
    assert parsed["conv_outdir"] == request.output_dir
    assert parsed["outdir"].startswith(request.work_dir)
    assert (parsed["bids_options"], parsed["grouping"]) == (["notop"], "all")
    assert (parsed["converter"], parsed["minmeta"]) == ("dcm2niix", True)


def test_qsiparc_takes_the_command_line(tmp_path: Path) -> None:
    require("demo", importlib.util.find_spec("qsiparc") is not None, "install the extra `demo`")
    root = tmp_path / "ho st; it's"
    folder = root / "derivatives" / "qsirecon" / "sub-0042" / "ses-01" / "dwi"
    folder.mkdir(parents=True)
    (folder / "sub-0042_ses-01_space-ACPC_seg-A_dseg.nii.gz").touch()
    (folder / "sub-0042_ses-01_space-ACPC_seg-B_dseg.nii.gz").touch()
    settings = {"atlases": ["A"], "scalars": ["fa", "md"], "args": ["--dry-run"]}
    run = get_adapter("qsiparc").build(make_request("qsiparc", root=root, runtime="host", settings=settings))

    code = "from qsiparc.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *run.arguments], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "atlas=A" in done.stdout
    assert "atlas=B" not in done.stdout
