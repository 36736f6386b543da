"""`neuroflow export` by its command line: files, standard output, and what it refuses."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuroflow.cli.export_commands import export_group
from neuroflow.cli.main import cli
from tests.export.cohort import REGIONS, Cohort, write_tables

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two sessions with region tables, and one whose qsiparc failed; only to be read."""
    made = Cohort(tmp_path_factory.mktemp("study"))
    made.add("01/a", "01/b", "02/a")
    made.process(failing="qsiparc sub-02/ses-a")
    for scope in ("01/a", "01/b"):
        write_tables(made.output, scope, "fa", "md")
    return made


def export(study: Cohort, *arguments: str, code: int = 0) -> Result:
    """Run `neuroflow export` with arguments; it must end with `code`."""
    result = CliRunner().invoke(cli, ["--config", str(study.config_file), "export", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize(
    ("table", "rows"),
    [("sessions", 3), ("runs", 11), ("attempts", 11), ("nipoppy", 9), ("regions", 2 * 2 * len(REGIONS))],
)
def test_a_table_goes_to_standard_output_alone(study: Cohort, table: str, rows: int) -> None:
    result = export(study, table)

    assert result.stdout.startswith("participant_id\t")
    assert len(result.stdout.splitlines()) == rows + 1


def test_a_file_gets_a_dictionary_with_an_entry_for_each_column(study: Cohort, tmp_path: Path) -> None:
    result = export(study, "runs", "--output", str(tmp_path / "runs.tsv"))

    header = (tmp_path / "runs.tsv").read_text().splitlines()[0].split("\t")
    words = json.loads((tmp_path / "runs.json").read_text())
    assert list(words) == [*header, "GeneratedBy"]
    assert words["status"]["Levels"]["completed"]
    assert words["duration"]["Units"] == "s"
    assert result.stdout == ""
    assert "11 rows in" in result.stderr


def test_json_tells_what_was_written_and_what_is_missing(study: Cohort, tmp_path: Path) -> None:
    result = export(study, "regions", "--layout", "wide", "-o", str(tmp_path / "wide.tsv"), "--json")

    told = json.loads(result.stdout)
    assert told["schema"] == 1
    assert (told["rows"], told["sessions"], told["table"]) == (2, 2, "regions")
    assert list(told["missing"]) == ["sub-02/ses-a"]
    assert Path(told["dictionary"]).exists()


def test_missing_sessions_are_told_to_a_person_and_not_to_the_reader_of_the_table(study: Cohort) -> None:
    result = export(study, "regions", "--measure", "FA")

    assert "sessions with tables: 2, without: 1" in result.stderr
    assert "sub-02/ses-a: qsiparc failed" in result.stderr
    assert len(result.stdout.splitlines()) == 1 + 2 * len(REGIONS)


def test_nothing_is_written_when_all_must_be_there_and_is_not(study: Cohort, tmp_path: Path) -> None:
    result = export(study, "regions", "--require-complete", "-o", str(tmp_path / "regions.tsv"), code=3)

    assert "sub-02/ses-a" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert export(study, "regions", "--require-complete", code=3).stdout == ""
    export(study, "regions", "--require-complete", "--subject", "sub-01")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("regions", "--atlas", "Phantm"), 2, "Did you mean 'Phantom'?"),
        (("regions", "--subject", "02"), 3, "no session has region tables"),
        (("regions", "--subject", "99"), 3, "there is no subject '99'"),
        (("runs", "--session", "x"), 3, "no subject has a session 'x'"),
        (("runs", "--pipeline", "qsipre"), 3, "Did you mean 'qsiprep'?"),
        (("runs", "--status", "dun"), 2, "'dun' is none of: pending"),
        (("runs", "--since", "yesterday"), 2, "'yesterday' is no time"),
        (("runs", "--json"), 2, "there is no --output"),
        (("runs", "--output", "/nowhere/a.tsv"), 2, "there is no folder /nowhere"),
    ],
)
def test_what_can_not_be_done_is_said(study: Cohort, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = export(study, *arguments, code=code)

    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("since", ["2020-01-01", "2020-01-01T08:00+02:00", "7d", "12h", "90m"])
def test_since_takes_dates_times_and_ages(study: Cohort, since: str) -> None:
    assert len(export(study, "sessions", "--since", since).stdout.splitlines()) == 4


def documented() -> list[str]:
    """Return the command lines of the page and of the commands' help."""
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    helps = [command.epilog or "" for command in (export_group, *export_group.commands.values())]
    lines = [line.partition("  #")[0].strip() for text in (*blocks, *helps) for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("neuroflow export")})


@pytest.mark.parametrize("line", documented())
def test_the_documented_command_lines_run(study: Cohort, tmp_path: Path, line: str) -> None:
    words = shlex.split(line.partition("|")[0].replace("4S156Parcels", "Phantom"))[2:]
    for option in {"--output", "-o"}.intersection(words):
        place = words.index(option) + 1
        words[place] = str(tmp_path / Path(words[place]).name)

    result = export(study, *words)

    written = sorted(path.suffix for path in tmp_path.iterdir())
    assert written == [".json", ".tsv"] or result.stdout.startswith("participant_id")


@pytest.mark.slow
def test_pandas_reads_every_table_in_one_line(study: Cohort, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")

    runs = pandas.read_csv(StringIO(export(study, "runs").stdout), sep="\t", na_values="n/a")
    assert runs["run_id"].tolist() == list(range(1, 12))
    assert runs["participant_id"].unique().tolist() == ["sub-01", "sub-02"]
    assert runs["superseded"].tolist() == [False] * 11
    assert str(pandas.to_datetime(runs["created_at"]).dt.tz) == "UTC"
    long = pandas.read_csv(StringIO(export(study, "regions").stdout), sep="\t", na_values="n/a")
    assert long.groupby("region_label")["value"].mean().round(6).to_dict() == {
        "left_tract": 0.1,
        "right_tract": 0.2,
        "central": 0.3,
    }
    wide = pandas.read_csv(StringIO(export(study, "regions", "--layout", "wide").stdout), sep="\t", na_values="n/a")
    assert wide["mean_fa_Phantom_DemoTensor_tensor_2_right_tract"].tolist() == [0.2, 0.2]
