"""`neuroflow status`: its screen, filters, table, document, snapshot and live view."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from neuroflow.cli.main import cli
from neuroflow.cli.status_fit import fitted
from neuroflow.cli.status_lines import service_lines
from neuroflow.cli.status_screen import screen_on
from neuroflow.cli.status_table import pipeline_table
from neuroflow.cli.status_words import BarStyle, bar, percent, span, time_left
from neuroflow.config import NeuroflowConfig
from neuroflow.domain import RunRecord
from neuroflow.orchestrator.out_of_date import look_for_out_of_date
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import advance, discover
from neuroflow.views.status import read_status
from neuroflow.views.status_document import SCHEMA_FILE, document
from neuroflow.views.status_leave import leave_snapshot
from neuroflow.views.status_snapshot import snapshot_path
from tests.discovery.dicom_files import write_dicom
from tests.support.states import add_session, end_run, found, open_run

LONG = (
    "the converter ended with exit code 1 while it wrote the image of the third series, after 3 tries: "
    "/data/project/derivatives/scratch/sub-02/ses-a/conversion/run-0003/output/sub-02.nii.gz: No space left on device"
)
HOSTILE = "bad\x1b[31m\tname\u2028"
CONFIG = """\
paths: {dicom_root: dicom, bids_root: bids, derivatives_root: derivatives, work_root: work, state_dir: state}
discovery: {settle_minutes: 0}
protocol: {required_scans: []}
cluster: {kind: local}
containers: {runtime: host}
"""


class Nobody:
    """Launches nothing."""

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        """Leave the runs where they are."""


class Site:
    """A small site with a database, and the command line on it."""

    def __init__(self, folder: Path, *, database: Path | None = None) -> None:
        self.file = folder / "neuroflow.yaml"
        (folder / "dicom").mkdir()
        self.file.write_text(CONFIG)
        self.config = NeuroflowConfig.find_and_load(self.file)
        self.services = Services.from_config(self.config, check_schema=False)
        self.database = self.config.paths.state_dir / "neuroflow.db"
        if database is None:
            self.services.database.upgrade()
        else:
            shutil.copy(database, self.database)
        self.state = self.services.state

    def run(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, ["--config", str(self.file), "status", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: str) -> Any:
        found = json.loads(self.run(*arguments, "--json").stdout)
        check(found)
        return found

    def fill(self) -> None:
        """Two subjects with two sessions each, of which one failed, and one waits."""
        for number, (subject, session) in enumerate((("01", "a"), ("01", "b"), ("02", "a"), ("02", "b"))):
            run = open_run(self.state, add_session(self.state, subject, session), key="dicom:f1")
            if number < 3:
                end_run(self.state, run.id, success=number < 2)


def check(found: Any) -> None:
    """Compare a document with the schema that is shipped."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing but its tables; to make one takes longer than most tests here."""
    return Site(tmp_path_factory.mktemp("empty")).database


@pytest.fixture(scope="module")
def filled_database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A database with four conversions."""
    made = Site(tmp_path_factory.mktemp("filled"), database=empty_database)
    made.fill()
    return made.database


@pytest.fixture
def site(tmp_path: Path, empty_database: Path) -> Iterator[Site]:
    """A site with an empty database."""
    made = Site(tmp_path, database=empty_database)
    yield made
    made.services.database.close()


@pytest.fixture
def filled(tmp_path: Path, filled_database: Path) -> Iterator[Site]:
    """A site with four conversions."""
    made = Site(tmp_path, database=filled_database)
    yield made
    made.services.database.close()


class TestDocument:
    def test_it_fits_its_schema_empty_filled_and_filtered(self, site: Site) -> None:
        jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
        site.json()
        site.fill()
        advance(site.services, Nobody())
        site.services.hold("qsiprep", reason="new image")
        site.state.set_value("poll", {"errors": [], "next_at": 0.0})
        found = site.json("--failed", "--since", "1d", "--subject", "sub-02")
        assert [run["run"] for run in found["runs"]] == [3]
        assert found["held"] == {"qsiprep": "new image"}
        groups = site.json()["waiting"]["groups"]
        assert {(one["pipeline"], one["kind"], one["reason"], one["count"]) for one in groups} == {
            ("qsiprep", "upstream", "waits for bids_conversion", 1),
            ("qsirecon", "upstream", "waits for qsiprep", 4),
            ("qsiparc", "upstream", "waits for qsirecon", 4),
        }

    def test_a_slurm_site_fits_it_as_well(self, site: Site) -> None:
        site.file.write_text(CONFIG.replace("kind: local", "kind: slurm, calls_per_minute: 20"))
        site.state.record_call("squeue", seconds=0.5, failed=False)
        slurm = site.json()["slurm"]
        assert (slurm["calls_left"], slurm["programs"][0]["mean_seconds"]) == (20, 0.5)

    def test_the_counts_of_a_pipeline_sum_up_to_its_total(self, filled: Site) -> None:
        row = filled.json()["pipelines"][0]
        assert (row["total"], row["done"], row["failed"], row["waiting"], row["not_started"]) == (4, 2, 1, 1, 0)
        assert filled.json()["pipelines"][1]["not_started"] == 2, "subjects, not sessions"


class TestOutOfDate:
    """A conversion is done; then its session's files change."""

    def change(self, site: Site) -> None:
        site.state.record_scan([found("01", "a", fingerprint="f2")], settle_minutes=0)
        look_for_out_of_date(site.services)

    def test_it_is_not_done_and_the_counts_still_sum_up(self, filled: Site) -> None:
        assert filled.json()["pipelines"][0]["out_of_date"] is None, "nobody has looked"
        self.change(filled)
        document = filled.json()
        row = document["pipelines"][0]
        assert (row["done"], row["out_of_date"], row["out_of_date_blocked"], row["total"]) == (1, 1, 0, 4)
        assert document["out_of_date_at"] is not None
        text = filled.run().stdout
        assert "25 %" in text
        assert "bids_conversion: 1 to be run again" in text

    def test_of_few_subjects_it_is_seen_without_anybody_having_looked(self, filled: Site) -> None:
        filled.state.record_scan([found("01", "a", fingerprint="f2")], settle_minutes=0)
        document = filled.json("--subject", "01")
        assert (document["pipelines"][0]["done"], document["pipelines"][0]["out_of_date"]) == (1, 1)
        assert {run["scope"]: run["out_of_date"] for run in document["runs"]} == {
            "sub-01/ses-a": True,
            "sub-01/ses-b": False,
        }
        assert filled.json("--session", "b")["pipelines"][0]["out_of_date"] == 0
        assert "done, out of date" in filled.run("--subject", "01").stdout

    def test_tables_and_lists_say_so(self, filled: Site) -> None:
        filled.state.record_scan([found("01", "a", fingerprint="f2")], settle_minutes=0)
        words = [
            line.split("\t")[3] for line in filled.run("--tsv", "--pipeline", "bids_conversion").stdout.splitlines()
        ]
        assert sorted(words[1:]) == ["done", "failed", "out_of_date", "waiting"]
        cells = filled.json("--status", "out_of_date")["cells"]
        assert cells == [{"pipeline": "bids_conversion", "scope": "sub-01/ses-a", "status": "out_of_date", "run": 1}]
        assert len(filled.run("--tsv", "--status", "done").stdout.splitlines()) == 2
        assert len(filled.run("--tsv", "--status", "out_of_date").stdout.splitlines()) == 2

    def test_a_scan_that_finds_new_files_counts_anew(self, site: Site) -> None:
        series = site.file.parent / "dicom" / "sub-01" / "ses-a" / "001_dwi"
        series.mkdir(parents=True)
        write_dicom(series / "1.dcm", InstanceNumber=1)
        discover(site.services)
        known = site.state.find_session("01", "a")
        assert known is not None
        end_run(site.state, open_run(site.state, known, key=f"dicom:{known.fingerprint}").id)
        assert site.json()["pipelines"][0]["done"] == 1
        write_dicom(series / "2.dcm", InstanceNumber=2)
        discover(site.services)
        row = site.json()["pipelines"][0]
        assert (row["done"], row["out_of_date"]) == (0, 1)

    def test_a_look_of_the_scheduler_keeps_it(self, filled: Site) -> None:
        filled.state.record_scan([found("01", "a", fingerprint="f2")], settle_minutes=0)
        advance(filled.services, Nobody())
        assert filled.json()["pipelines"][0]["out_of_date"] == 0, "its new run is open"


class TestFilters:
    def test_labels_have_their_prefix_or_not_and_may_be_several(self, filled: Site) -> None:
        for labels in (("--subject", "sub-01"), ("--subject", "01")):
            assert [run["scope"] for run in filled.json(*labels)["runs"]] == ["sub-01/ses-b", "sub-01/ses-a"]
        both = filled.json("--subject", "01", "--subject", "02", "--session", "ses-b")
        assert {run["scope"] for run in both["runs"]} == {"sub-01/ses-b", "sub-02/ses-b"}
        assert both["sessions"]["ready"] == 2

    def test_statuses_are_words_of_people_or_of_runs(self, filled: Site) -> None:
        for word in ("done", "completed", "DONE"):
            assert filled.json("--status", word)["runs_total"] == 2
        assert filled.json("--status", "failed", "--status", "waiting")["runs_total"] == 2

    def test_what_has_no_run_is_listed_by_the_word_of_the_table(self, filled: Site) -> None:
        found = filled.json("--status", "not_started", "--pipeline", "qsiprep")
        assert [cell["scope"] for cell in found["cells"]] == ["sub-01", "sub-02"]
        assert found["runs"] == []
        assert "qsiprep of sub-01: not started" in filled.run("--status", "not_started").stdout
        assert len(filled.run("--tsv", "--status", "not_started", "--pipeline", "qsiprep").stdout.splitlines()) == 3

    def test_the_first_line_names_every_filter(self, filled: Site) -> None:
        first = filled.run("--failed", "--since", "2026-01-01", "--subject", "02").stdout.splitlines()[0]
        assert first.endswith("; only subject 02; status failed; changed since 2026-01-01 00:00 UTC")

    def test_a_limit_cuts_the_list_and_says_so(self, filled: Site) -> None:
        text = filled.run("--pipeline", "bids_conversion", "--limit", "1").stdout
        assert "4 runs match:" in text
        assert "… and 3 more (--limit 4, --tsv or --json)" in text

    def test_runs_that_changed_long_ago_are_left_out(self, filled: Site) -> None:
        assert filled.json("--since", "2h")["runs_total"] == 4
        assert filled.json("--since", "2999-01-01")["runs_total"] == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "text"),
        [
            (("--status", "runing"), 2, "Did you mean 'running'?"),
            (("--since", "yesterday"), 2, "is no time: say how long ago"),
            (("--since", "99999999999999w"), 2, "is no time"),
            (("--pipeline", "qsiprp"), 3, "Did you mean 'qsiprep'?"),
            (("--subject", "07"), 3, "there is no subject '07'"),
            (("--session", "zz"), 3, "no subject has a session 'zz'"),
            (("--subject", "../x"), 2, "is no label"),
            (("--json", "--tsv"), 2, "--json and --tsv exclude each other"),
            (("--watch", "--json"), 2, "exclude each other"),
            (("--watch",), 2, "needs a terminal"),
            (("--snapshot", "x.json", "--failed"), 2, "it can't be narrowed"),
            (("--snapshot", "none.json"), 2, "none.json can't be read"),
        ],
    )
    def test_what_can_not_be_is_refused(self, filled: Site, arguments: tuple[str, ...], code: int, text: str) -> None:
        assert text in filled.run(*arguments, code=code).stderr


class TestTable:
    def test_each_session_and_pipeline_has_a_line(self, filled: Site) -> None:
        filled.state.set_session_excluded(4, True, reason="moved")
        header, *lines = filled.run("--tsv").stdout.splitlines()
        rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
        found = {(row["pipeline"], row["participant_id"], row["session_id"]): row["status"] for row in rows}
        assert found["bids_conversion", "sub-01", "ses-a"] == "done"
        assert found["bids_conversion", "sub-02", "ses-a"] == "failed"
        assert found["qsiprep", "sub-02", "n/a"] == "not_started"
        assert found["qsirecon", "sub-02", "ses-b"] == "excluded"
        assert len(rows) == 4 + 2 + 4 + 4

    def test_filters_narrow_it(self, filled: Site) -> None:
        assert len(filled.run("--tsv", "--failed").stdout.splitlines()) == 2
        assert len(filled.run("--tsv", "--subject", "01", "--pipeline", "qsirecon").stdout.splitlines()) == 3

    def test_a_reason_breaks_no_line_and_steers_no_terminal(self, filled: Site) -> None:
        filled.state.update_pipeline_run(3, error_message=f"one\r\ntwo {HOSTILE}")
        (line,) = filled.run("--tsv", "--failed").stdout.splitlines()[1:]
        assert "one two bad\\x1b[31m name\\u2028" in line
        assert len(line.split("\t")) == 12


class TestScreen:
    def test_it_is_plain_where_a_program_reads(self, filled: Site) -> None:
        text = filled.run().stdout
        assert "\x1b" not in text
        assert "bids_conversion  ██" in text
        assert "50 %" in text
        assert "time left unknown: no history" in text

    def test_hostile_text_steers_no_terminal(self, filled: Site) -> None:
        filled.state.update_pipeline_run(3, error_message=HOSTILE)
        filled.services.hold("qsiprep", reason=HOSTILE)
        text = filled.run("--failed").stdout
        assert "\x1b" not in text
        assert "\u2028" not in text
        assert "held: qsiprep: bad\\x1b[31m" in text

    def test_a_held_pipeline_shows_what_it_holds(self, filled: Site) -> None:
        filled.services.hold("bids_conversion", reason="new image")
        lines = filled.run().stdout.splitlines()
        header = next(line for line in lines if line.startswith("pipeline"))
        row = next(line for line in lines if line.startswith("bids_conversion "))
        assert row[header.index("held") : header.index("held") + 4].strip() == "1"

    def test_an_invalid_session_is_named_with_the_command_that_lists_it(self, filled: Site) -> None:
        filled.state.record_scan([found("01", "a", fingerprint="f2", missing=("no dwi",))], settle_minutes=0)
        assert "1 invalid (`neuroflow session list --status invalid`)" in filled.run().stdout

    def test_how_often_slurm_is_asked_is_told_only_while_it_is(self, filled: Site) -> None:
        filled.file.write_text(CONFIG.replace("kind: local", "kind: slurm"))
        filled.state.set_value("poll", {"errors": [], "next_at": 0.0, "interval_seconds": 2.0})
        status = filled.json()
        for hours, is_told in ((0, True), (1, False)):
            now = datetime.now(UTC) + timedelta(hours=hours)
            text = "\n".join(line.text for line in service_lines(status, now=now))
            assert ("asked every 2 s now" in text) is is_told

    def test_a_failure_on_a_narrow_terminal_says_which_run_and_keeps_the_end_of_its_message(self, filled: Site) -> None:
        filled.state.update_pipeline_run(3, error_message=LONG)
        for arguments, head in (((), "(run 3, sub-02/ses-a) bids_conversion"), (("--failed",), "3    sub-02/ses-a")):
            console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
            for part in screen_on(console, now=datetime.now(UTC)).parts(filled.json(*arguments)):
                console.print(part)
            lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
            assert max(map(len, lines)) <= 80
            begin = max(number for number, line in enumerate(lines) if head in line)
            said = " ".join(" ".join(lines[begin + 1 : begin + 3]).split())
            assert said.endswith("sub-02.nii.gz: No space left on device")

    def test_a_message_loses_the_middle_of_its_paths_first_then_its_beginning(self) -> None:
        assert fitted("short", width=40) == ["short"]
        assert fitted("can't write /data/a/b/c/d/e/f/g/h/i/j/image.nii", width=20) == [
            "can't write",
            "/data/…/image.nii",
        ]
        found = fitted(" ".join(f"word{number}" for number in range(40)), width=30)
        assert (len(found), found[0][0], found[1].split()[-1]) == (2, "…", "word39")
        assert max(map(len, found)) <= 30

    def test_a_bar_is_full_only_when_all_is_done(self) -> None:
        counts = {"running": 0, "queued": 0, "submitting": 0, "failed": 0}
        ascii_only = BarStyle.of("ascii")
        assert bar({"total": 1000, "done": 999, **counts}, width=10, style=ascii_only).plain == "#########."
        assert bar({"total": 1000, "done": 1000, **counts}, width=10, style=ascii_only).plain == "##########"
        assert bar({"total": 1000, "done": 998, **counts, "failed": 1}, width=10, style=ascii_only).plain[-1] == "x"
        assert bar({"total": 0, "done": 0, **counts}, width=4, style=BarStyle.of("utf-8")).plain == "░░░░"
        assert percent(999, 1000) == "99 %"

    def test_spans_are_told_in_the_unit_that_people_use(self) -> None:
        assert [span(hours) for hours in (0.001, 0.5, 3, 72)] == ["less than a minute", "30 min", "3 h", "3 days"]
        assert time_left({"low_hours": 3, "high_hours": 30, "because": "x"}) == "3 to 30 h left (x)"
        assert time_left({"low_hours": 0.5, "high_hours": 72, "because": "x"}) == "30 min to 3 days left (x)"


class TestSnapshot:
    def test_it_is_read_with_nothing_but_the_file_and_tells_its_age(self, filled: Site, tmp_path: Path) -> None:
        leave_snapshot(filled.config)
        path = snapshot_path(filled.config)
        found = json.loads(path.read_text())
        check(found)
        found["at"] = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
        copy = tmp_path / "copy.json"
        copy.write_text(json.dumps(found))
        result = CliRunner().invoke(cli, ["status", "--snapshot", str(copy)], env={"NEUROFLOW_CONFIG": "/nowhere"})
        assert result.exit_code == 0, result.output
        assert f"5 h ago (snapshot {copy})" in result.stdout
        assert "bids_conversion" in result.stdout
        as_json = CliRunner().invoke(cli, ["status", "--snapshot", str(copy), "--json"])
        assert json.loads(as_json.stdout) == found

    def test_it_is_written_when_due_and_closed_to_others_unless_opened(self, site: Site) -> None:
        path = snapshot_path(site.config)
        assert leave_snapshot(site.config)
        assert not leave_snapshot(site.config)
        assert leave_snapshot(site.config, at_once=True)
        os.utime(path, (0, 0))
        assert leave_snapshot(site.config)
        assert path.stat().st_mode & 0o777 == 0o600
        opened = site.config.model_copy(update={"status": site.config.status.model_copy(update={"open": True})})
        leave_snapshot(opened, at_once=True)
        assert path.stat().st_mode & 0o777 == 0o644
        assert [one.name for one in path.parent.glob(".status.json*")] == []

    def test_a_folder_that_is_full_or_missing_stops_no_poll(self, site: Site, tmp_path: Path) -> None:
        elsewhere = site.config.status.model_copy(update={"snapshot": tmp_path / "none" / "s.json"})
        assert not leave_snapshot(site.config.model_copy(update={"status": elsewhere}))

    def test_a_tick_leaves_one(self, site: Site) -> None:
        result = CliRunner().invoke(cli, ["--config", str(site.file), "tick", "--no-doctor"])
        assert result.exit_code == 0, result.output
        check(json.loads(snapshot_path(site.config).read_text()))

    def test_it_stands_in_for_a_database_that_is_not_there(self, filled: Site) -> None:
        leave_snapshot(filled.config)
        filled.services.database.close()
        (filled.config.paths.state_dir / "neuroflow.db").rename(filled.config.paths.state_dir / "away.db")
        result = filled.run()
        assert "this is its snapshot" in result.stderr
        assert "as of " in result.stdout
        assert "missing or closed" in filled.run("--failed", code=4).stderr

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is no snapshot"),
            ("[1]", "is no snapshot"),
            ('{"schema": 1, "pipelines": []}', "has schema 1"),
            ('{"schema": 2, "pipelines": [{}]}', "is no snapshot"),
        ],
    )
    def test_another_file_is_refused(self, site: Site, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "other.json").write_text(text)
        assert message in site.run("--snapshot", str(tmp_path / "other.json"), code=2).stderr


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True
    )


@pytest.mark.slow
def test_a_snapshot_is_read_and_a_database_looked_at_without_sqlalchemy(filled: Site) -> None:
    leave_snapshot(filled.config)
    code = (
        "import sys; from neuroflow.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in ('sqlalchemy', 'celery', 'alembic', 'pydantic') if name in sys.modules])"
    )
    answer = run_python(code, "status", "--snapshot", snapshot_path(filled.config))
    assert answer.stdout.splitlines()[-1] == "[]"
    assert run_python(code, "--config", filled.file, "status").stdout.splitlines()[-1] == "['pydantic']"


def test_looking_writes_nothing(filled: Site) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.file.parent.rglob("*")}
    filled.run()
    filled.run("--failed", "--json")
    filled.run("--tsv")
    assert {path: path.stat().st_mtime_ns for path in filled.file.parent.rglob("*")} == before


def test_what_is_looked_at_is_what_the_document_says(filled: Site) -> None:
    check(json.loads(json.dumps(document(read_status(filled.config)))))


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: object, **environ: str) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50", **environ}
        command = [sys.executable, "-m", "neuroflow.cli.main", *map(str, arguments)]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.text = ""

    def wait_for(self, text: str) -> None:
        """Read until a text stands there."""
        while text not in self.text:
            piece = self._read()
            assert piece, self.text
            self.text += piece

    def rest(self, *, code: int = 0) -> str:
        """Read to the end, and return all that was written."""
        while piece := self._read():
            self.text += piece
        os.close(self.master)
        assert self.process.wait(timeout=30) == code
        return self.text

    def _read(self) -> str:
        assert select.select([self.master], [], [], 60)[0], self.text
        try:
            return os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""


@pytest.mark.slow
def test_watching_goes_on_until_ctrl_c_and_leaves_the_last_picture(filled: Site) -> None:
    terminal = Terminal("--config", filled.file, "status", "--watch", "0.5")
    terminal.wait_for("\x1b[?1049h")
    terminal.wait_for("50 %")
    end_run(filled.state, 4, success=True)
    terminal.wait_for("75 %")
    terminal.process.send_signal(signal.SIGINT)
    text = terminal.rest()
    assert "Traceback" not in text
    after = text.rpartition("\x1b[?1049l")[2]
    assert "75 %" in after, "the screen of before is back, and the last picture on it"


@pytest.mark.slow
def test_a_signal_that_ends_watching_gives_the_terminal_back(filled: Site) -> None:
    terminal = Terminal("--config", filled.file, "status", "--watch", "60")
    terminal.wait_for("50 %")
    terminal.process.send_signal(signal.SIGTERM)
    text = terminal.rest(code=143)
    assert "\x1b[?1049l" in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_colours_are_off_where_the_user_wants_none(filled: Site) -> None:
    coloured = "\x1b[32m"
    assert coloured in Terminal("--config", filled.file, "status").rest()
    assert coloured not in Terminal("--config", filled.file, "status", NO_COLOR="1").rest()


def test_numbers_are_whole_on_a_narrow_terminal() -> None:
    row = {
        "pipeline": "bids_conversion", "enabled": True, "held": False, "total": 100_000, "done": 98_000, "running": 12,
        "queued": 345, "submitting": 0, "waiting": 67, "retrying": 0, "again": 0, "failed": 987, "closed": 0,
        "cancelled": 0, "not_started": 600,
    }  # fmt: skip
    for width in (60, 80, 120):
        console = Console(width=width, file=io.StringIO(), force_terminal=False)
        console.print(pipeline_table([row], width=width, style=BarStyle()))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        numbers = [cell for cell in text.splitlines()[-1].split() if cell.isdigit()]
        assert [cell for cell in numbers if cell != "98"] == ["98000", "100000", "12", "345", "67", "600", "987"], width
