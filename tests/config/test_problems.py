"""Errors: all at once, one line each, with file, line, key path, value and what is allowed; never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.config.paths import Paths
from neuroflow.config.problems import config_error

from .conftest import PATHS, Problems


def test_all_problems_are_told_at_once(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lines = problems(
        "redis: {urll: x}\n"
        "celery:\n"
        "  max_retries: many\n"
        "workflow: {schedule: '0 2 * *', max_concurrent: {qsiprepp: 3}}\n"
        "pipelines: {qsirecon: {where: worker}, qsiprep: {image: no.sif}}\n",
        paths=PATHS.replace("dicom_root: dicom", "dicom_root: file"),
        environ={"NEUROFLOW_LOGGING__LEVEL": "LOUD", "NEUROFLOW_REDIS_URL": "x"},
    )
    text = "\n".join(lines)
    assert "neuroflow.yaml:7: redis.urll: is no key of the configuration; did you mean 'url'? Allowed here: url" in text
    assert "neuroflow.yaml:9: celery.max_retries: is 'many', but must be a whole number" in text
    assert "neuroflow.yaml:10: workflow.schedule: '0 2 * *' is not a cron string: five fields" in text
    assert "workflow.max_concurrent.qsiprepp: is no key of the configuration; did you mean 'qsiprep'?" in text
    assert "neuroflow.yaml:11: pipelines.qsirecon.where: is 'worker', but only bids_conversion may" in text
    assert "environment NEUROFLOW_LOGGING__LEVEL: logging.level: is 'LOUD', allowed: 'DEBUG', 'INFO'" in text
    assert (
        "environment NEUROFLOW_REDIS_URL: sets no key of the configuration; did you mean NEUROFLOW_REDIS__URL?" in text
    )
    assert "neuroflow.yaml:2: paths.dicom_root: 'file' is a file, and must be a folder" in text
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("wrong", "is_sent_to_the_keys"), [(["x: is no key of the configuration"], True), (["y"], False)]
)
def test_only_a_wrong_key_is_sent_to_the_list_of_keys(wrong: list[str], is_sent_to_the_keys: bool) -> None:
    hint = config_error(wrong).hint
    assert "`neuroflow config validate` checks again" in hint
    assert ("config schema" in hint) is is_sent_to_the_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cluster: {kind: slurmm}", "cluster.kind: is 'slurmm', allowed: 'slurm', 'local'; did you mean 'slurm'?"),
        ("cluster: {acount: x}", "cluster.acount: is no key of the configuration; did you mean 'account'?"),
        (
            "worker_concurrency: 3",
            "worker_concurrency: is no key of the configuration; did you mean celery.worker_conc",
        ),
        ("zzzz: 3", "zzzz: is no key of the configuration Allowed here: paths, database, redis"),
        ("cluster: slurm", "cluster: is 'slurm', but must be a mapping of keys to values"),
        ("cluster: [a]", "cluster: is ['a'], but must be a mapping of keys to values"),
        ("cluster: {account: 12}", "cluster.account: is 12, but must be a text (put it in quotes)"),
        ("cluster: {account: yes}", "cluster.account: is true, but must be a text (put it in quotes)"),
        ("cluster: {sbatch_lines: --mail}", "cluster.sbatch_lines: is '--mail', but must be a list, such as [a, b]"),
        ("cluster: {sbatch_lines: [a, 5]}", "cluster.sbatch_lines[1]: is 5, but must be a text (put it in quotes)"),
        ('cluster: {sbatch_lines: ["a\\nrm -rf /"]}', "'a\\nrm -rf /' holds a line break or control character"),
        ("cluster: {poll_seconds: .inf}", "cluster.poll_seconds: is inf, but must be a finite number"),
        ("cluster: {poll_seconds: .nan}", "cluster.poll_seconds: is nan, but must be a finite number"),
        ("cluster: {poll_seconds: 0}", "cluster.poll_seconds: is 0, but must be greater than or equal to 1"),
        ("cluster: {poll_seconds: true}", "cluster.poll_seconds: must be a number, not true or false"),
        ("pipelines: {qsiprep: {cpus: 1.5}}", "pipelines.qsiprep.cpus: is 1.5, but must be a whole number"),
        ("pipelines: {qsiprep: {cpus: on}}", "pipelines.qsiprep.cpus: must be a number, not true or false"),
        ("pipelines: {qsiprep: {time_minutes: 24:00:00}}", "is '24:00:00', but must be a whole number"),
        (
            "pipelines: {qsiprep: {depends_on: [bids]}}",
            "depends_on[0]: is 'bids', allowed: 'bids_conversion', 'qsiprep'",
        ),
        (
            "pipelines: {qsiprep: {queue: bid}}",
            "is 'bid', allowed: 'bids', 'processing', 'heavy_processing', 'default'",
        ),
        ("pipelines: {qsipreb: {}}", "pipelines.qsipreb: is no key of the configuration; did you mean 'qsiprep'?"),
        ("workflow: {max_concurrent: {qsiprep: -1}}", "is -1, but must be greater than or equal to 0"),
        ("workflow: {schedule: 5}", "workflow.schedule: is 5, but must be a text (put it in quotes)"),
        ("celery: {task_time_limit: 5}", "celery: task_time_limit (5) must be above task_soft_time_limit (43200)"),
        ("discovery: {subject_pattern: '['}", "discovery.subject_pattern: '[' is not a regular expression"),
        ("discovery: {subject_pattern: 'a{99999999999}'}", "is not a regular expression"),
        ("discovery: {subject_pattern: 'sub'}", "discovery: subject_pattern needs a named group: (?P<label>...)"),
        ("discovery: {labels: csv}", "discovery: labels: csv needs csv_file"),
        ("protocol: {required_scans: [{name: a}]}", "protocol.required_scans[0].pattern: is missing: Searched for in"),
        ("protocol: {required_scans: [{name: a, pattern: b, min: 1}]}", "required_scans[0].min: is no key"),
        ("redis: {url: 'http://h'}", "redis.url: must be a redis://, rediss:// or redis+socket:// URL, or `embedded`"),
        ("redis: {url: 'redis://:a/b@h:1'}", "redis.url: has no readable port; percent-encode special characters"),
        ("database: {url: 'sqlite:///rel.db'}", "database.url: must name an absolute file: sqlite:////absolute"),
        ("database: {url: 'sqlite://'}", "database.url: must name an absolute file"),
        ("database: {url: 'mysql://h/d'}", "database.url: must be a postgresql+psycopg:// or sqlite:// URL"),
        ("logging: {file: ''}", "logging.file: is empty; name a folder or file"),
        ("logging: {file: $HOME/n.log}", "holds a variable, and variables are not expanded; write the path out"),
        ("logging: {file: ~no-such-user-here/n}", "names a home folder that does not exist"),
        ('logging: {file: "a\\0b"}', "logging.file: 'a\\x00b' holds a line break or control character"),
        ("logging: {file: [a]}", "logging.file: is ['a'], but must be a path, as a text"),
        ('workflow: {notifications: {email_recipients: ["a@b\\nBcc: c@d"]}}', "is no mail address"),
        ("workflow: {notifications: {slack_webhook: 'http://x'}}", "slack_webhook: must be an https:// URL"),
        ("workflow: {retry: {max_delay_minutes: 1}}", "max_delay_minutes (1) is below initial_delay_minutes (5)"),
        ("containers: {environment: {OMP_NUM_THREADS: 4}}", "OMP_NUM_THREADS: is 4, but must be a text (put it in q"),
    ],
)
def test_each_problem_is_one_line_that_says_what_is_allowed(problems: Problems, text: str, expected: str) -> None:
    (line,) = problems(text + "\n")
    assert line.startswith("neuroflow.yaml:7: ")
    assert expected in line


def test_missing_paths_are_explained(problems: Problems) -> None:
    lines = problems(paths="paths: {dicom_root: dicom, state_dir: s, work_root: w}\n")
    assert lines == [
        "neuroflow.yaml:1: paths.bids_root: is missing: The BIDS dataset that HeudiConv fills; made when missing.",
        "neuroflow.yaml:1: paths.derivatives_root: is missing: Folder of the derivative datasets "
        "(qsiprep, qsirecon, qsiparc); made when missing.",
    ]
    assert problems("cluster: {}\n", paths="") == ["neuroflow.yaml: paths: is missing: Where the data lives."]


def test_long_values_are_cut(problems: Problems) -> None:
    (line,) = problems(f"cluster: {{kind: {'x' * 5000}}}\n")
    assert len(line) < 300


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("redis: {url: [geheim]}\n", {}),
        ("redis: {url: 'reddis://:geheim@h'}\n", {}),
        ("redis: 'redis://:geheim@h/0'\n", {}),
        ("database: {url: 'mysql://me:geheim@h/d'}\n", {}),
        ("database: {url: 'postgresql://me:ge/heim@h:x/d'}\n", {}),
        ("database: {ulr: 'postgresql://me:geheim@h/d'}\n", {}),
        ("workflow: {notifications: {slack_webhook: {x: geheim}}}\n", {}),
        ("containers: {environment: {API_TOKEN: [geheim]}}\n", {}),
        ("", {"NEUROFLOW_REDIS": "redis://:geheim@h/0"}),
        ("", {"NEUROFLOW_REDIS__URL": "reddis://:geheim@h/0"}),
        ("", {"NEUROFLOW_REDIS_URL": "redis://:geheim@h/0"}),
    ],
)
def test_no_error_shows_a_secret(problems: Problems, text: str, environ: dict[str, str]) -> None:
    assert not any("geheim" in line or "heim" in line for line in problems(text, environ=environ))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"work_root": "dicom/w"}, "work_root (w1) is inside dicom_root"),
        ({"bids_root": "dicom"}, "bids_root (w1) is the same folder as dicom_root"),
        ({"state_dir": "dicom/.nf"}, "state_dir (w1) is inside dicom_root"),
        ({"derivatives_root": "dicom/../dicom/d"}, "derivatives_root (w1) is inside dicom_root"),
        ({"derivatives_root": "link/d"}, "derivatives_root (w1) is inside dicom_root"),
        ({"work_root": "bids/work"}, "work_root (w1) is inside bids_root"),
        ({"work_root": "bids"}, "work_root (w1) is the same folder as bids_root"),
        ({"derivatives_root": "bids"}, "bids_root and derivatives_root are the same folder"),
        ({"derivatives_root": "work"}, "derivatives_root and work_root are the same folder"),
        ({"state_dir": "a#b"}, "holds '?', '#' or '%'"),
    ],
)
def test_folders_that_would_spoil_each_other_are_refused(
    problems: Problems, tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "dicom")
    folders = {
        "dicom_root": "dicom",
        "bids_root": "bids",
        "derivatives_root": "deriv",
        "work_root": "work",
        "state_dir": "state",
        **changes,
    }
    text = "".join(f"  {key}: {value!r}\n" for key, value in folders.items())
    lines = problems(paths=f"paths:\n{text}")
    start, _, rest = expected.partition(" (w1) ")
    assert any(start in line and rest in line for line in lines)


@pytest.mark.parametrize(
    "changes",
    [{"derivatives_root": "bids/derivatives"}, {"work_root": "dicom-work"}, {"dicom_root": "bids/sourcedata"}],
)
def test_usual_layouts_are_allowed(tmp_path: Path, changes: dict[str, str]) -> None:
    names = {"dicom_root": "dicom", "bids_root": "bids", "derivatives_root": "d", "work_root": "w", "state_dir": "s"}
    folders = {key: tmp_path / value for key, value in {**names, **changes}.items()}
    assert Paths.model_validate(folders).model_dump(exclude_none=True) == folders
