"""Record what commands show on a terminal, as pictures for the pages.

    neuroflow demo --folder STUDY
    python docs/record.py STUDY            # all of them, into docs/images/
    python docs/record.py STUDY status     # one

Each command is run on a terminal of its own, on a copy of the demo cohort to which an incomplete session was added:
nothing in a picture is made up. Run it again when a command shows something else.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).resolve().parent / "images"
COLUMNS = 104
SHOWN_FOLDER = "/data/study"
RECORDINGS = {
    "status": "neuroflow status",
    "why": "neuroflow why sub-01 ses-02 qsirecon",
    "rerun": "neuroflow session rerun sub-01 ses-02 --dry-run",
    "runs-show": "neuroflow runs show 6",
    "resources": "neuroflow resources qsiprep",
    "did-you-mean": "neuroflow run list",
    "session-list": "neuroflow session list",
}
# A picture in a page may not load a font; the widths of the letters are written in the picture.
_FONT = re.compile(r"@font-face \{\{.*?\n    \}\}\n", re.DOTALL)


def main(arguments: list[str]) -> None:
    """Record the named commands, or all, on a demo folder."""
    if not arguments or not (Path(arguments[0]) / "neuroflow.yaml").is_file():
        sys.exit("usage: python docs/record.py DEMO_FOLDER [NAME]...; `neuroflow demo --folder DEMO_FOLDER` makes one")
    unknown = set(arguments[1:]) - set(RECORDINGS)
    if unknown:
        sys.exit(f"there is no recording {', '.join(unknown)}; there are: {', '.join(RECORDINGS)}")
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder).resolve() / "study"
        shutil.copytree(arguments[0], study, symlinks=True)
        add_incomplete_session(study)
        for name in arguments[1:] or RECORDINGS:
            path = record(name, RECORDINGS[name], study, made_in=Path(arguments[0]).resolve())
            print(f"wrote {path}")


def add_incomplete_session(study: Path) -> None:
    """Add a session of a new subject that lacks most of its files, and let a scan find it."""
    source = study / "dicom" / "sub-02" / "ses-01"
    target = study / "dicom" / "sub-03" / "ses-01"
    for file in sorted(path for path in source.rglob("*") if path.is_file())[:4]:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    written_on_a_terminal(["db", "upgrade"], study)  # of a cohort that an earlier version has made
    written_on_a_terminal(["scan"], study)


def record(name: str, line: str, study: Path, *, made_in: Path) -> Path:
    """Run a command line in a folder, and write what it showed as a picture."""
    shown = written_on_a_terminal(shlex.split(line)[1:], study)
    for folder in (study, made_in):  # the database still names the folder that the cohort was made in
        shown = shown.replace(str(folder), SHOWN_FOLDER)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (line, "bold")))
    console.print(Text.from_ansi(shown))
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"{name}.svg"
    code_format = _FONT.sub("", CONSOLE_SVG_FORMAT)
    path.write_text(console.export_svg(title=line, unique_id=name, code_format=code_format), encoding="utf-8")
    return path


def written_on_a_terminal(arguments: list[str], folder: Path) -> str:
    """Run neuroflow on a terminal in a folder, and return what it wrote there."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "neuroflow.cli.main", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # Linux: the command has ended
        pass
    finally:
        os.close(master)
    process.wait()
    return written.decode("utf-8", "replace").replace("\r\n", "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
