"""Text from DICOM headers and folder names is data: nothing runs it, and it steers no terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pydicom
import pytest

from neuroflow.domain import RunStatus
from tests.chain.site import Site

# pydicom warns of values that no scanner should write: that is the point.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

ESCAPE = "\x1b]0;stolen\x07\x1b[2J"
ESCAPES = re.compile("[\x1b\x07]")


def hostile(marker: Path) -> dict[str, str]:
    """Return header values that try a shell, a format string, a template, a path, SQL, and a terminal."""
    return {
        "PatientName": f"$(touch {marker})^`touch {marker}`",
        "PatientID": f"01'; touch {marker}; '",
        "PatientComments": "'); DROP TABLE pipeline_runs; --",
        "StudyDescription": f"{{{{ cycler.__init__.__globals__.os.system('touch {marker}') }}}}",
        "SeriesDescription": f"dwi $(touch {marker}) ../../../x {{0.__class__}} %s"[:64],
        "ProtocolName": f"dwi;touch {marker}|x"[:64],
        "StationName": "-rf /"[:16],
        "InstitutionName": "</script><script>alert(1)</script>",
    }


def rewrite(folder: Path, values: dict[str, str]) -> None:
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)


def neuroflow(site: Site, *arguments: str) -> str:
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(site.folder.config), *arguments]
    answer = subprocess.run(command, capture_output=True, timeout=120)
    return (answer.stdout + answer.stderr).decode("utf-8", errors="replace")


def hostile_site(root: Path) -> Site:
    off = {name: {"enabled": False} for name in ("qsiprep", "qsirecon", "qsiparc")}
    return Site(root, {"pipelines": off, "workflow": {"retry": {"max_attempts": 1}}})


def shown(site: Site, run_id: int) -> list[str]:
    """Return what people get to see of the session and its run."""
    commands = [("status",), ("session", "list"), ("session", "show", "sub-01", "ses-01"), ("scan",)]
    commands += [("runs", "show", str(run_id)), ("logs", str(run_id)), ("recovery", "list")]
    return [neuroflow(site, *command) for command in commands]


def test_a_hostile_session_is_converted_like_any_other_and_nothing_it_says_is_run(tmp_path: Path) -> None:
    marker = Path(tempfile.gettempdir()) / f"nf{os.getpid()}"  # short: most values hold 64 letters
    site = hostile_site(tmp_path / "site")
    rewrite(site.add_session("01", "01", seed=3), hostile(marker))
    # Names of folders are text of strangers, too.
    for name in (f"$(touch {marker.name})", f"sub-02;touch {marker.name}", "-rf", "sub-03\x1b[2J\n"):
        (site.root / "dicom" / name / "ses-01").mkdir(parents=True)
        (site.root / "dicom" / name / "ses-01" / "x.dcm").write_bytes(b"no dicom")
    services = site.services()

    site.run_sync(services)

    (run,) = services.state.list_runs()
    assert run.status is RunStatus.COMPLETED, run.reason
    assert run.scope == "sub-01/ses-01"
    images = [path.name for path in (site.root / "bids").rglob("*.nii.gz")]
    assert images
    assert all(name.startswith("sub-01_ses-01_") for name in images), images
    texts = shown(site, run.id)
    assert not [text for text in texts if ESCAPES.search(text)]
    assert "dwi $(touch" in texts[2], "the description itself is shown"
    places = (marker.parent, site.root, Path.cwd(), Path.home())
    assert not [place for place in places if (place / marker.name).exists()]


def test_control_characters_of_a_header_reach_no_terminal(tmp_path: Path) -> None:
    """dcm2niix writes them into its JSON, and HeudiConv stops at that: a failure, with the words in every log."""
    site = hostile_site(tmp_path / "site")
    rewrite(site.add_session("01", "01", seed=3), {"SeriesDescription": "dwi" + ESCAPE, "ProtocolName": "dwi\nfake"})
    services = site.services()

    site.run_sync(services)

    (run,) = services.state.list_runs()
    assert run.status is RunStatus.FAILED, run.reason
    assert not [text for text in shown(site, run.id) if ESCAPES.search(text)]


def test_labels_from_hostile_headers_are_plain_or_refused(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", {"discovery": {"labels": "dicom"}})
    bad = {"a": "../../etc", "b": f"x;touch {tmp_path}/m", "c": "$(id)", "d": "", "e": "é²", "f": "01\n02"}
    for name, patient in bad.items():
        folder = site.add_session(name, "01", seed=1)
        rewrite(folder, {"PatientID": patient})
    services = site.services()
    neuroflow(site, "scan")
    for session in services.state.list_sessions():
        assert session.subject.isascii(), session
        assert session.subject.isalnum(), session
    assert not (tmp_path / "m").exists()
