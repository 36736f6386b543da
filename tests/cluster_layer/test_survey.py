"""What SLURM and the machine answer is read as recorded; what doesn't answer is noted, and costs one time limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.survey import Survey
from neuroflow.cluster.survey_machine import Program, TemplateFlow, ask_machine, parse_machine, parse_modules
from neuroflow.cluster.survey_slurm import (
    SlurmFacts,
    ask_slurm,
    has_accounting,
    parse_default_account,
    parse_preempted,
    parse_settings,
    parse_user_qos,
)
from neuroflow.cluster.transport import LocalTransport
from tests.support.fake_slurm import fake_slurm, system_only


def survey_in(folder: Path, *, home: Path | None = None, timeout: float = 20.0) -> Survey:
    return Survey(LocalTransport({"PATH": str(folder), "HOME": str(home or folder)}), timeout=timeout)


def facts_of(tmp_path: Path, recorded: str) -> SlurmFacts:
    survey = survey_in(fake_slurm(tmp_path / "bin", recorded))
    facts = ask_slurm(survey, user="ada")
    assert facts is not None
    assert survey.silences == []
    return facts


def test_a_recorded_cluster_of_slurm_22_05(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "survey_22.05")
    assert list(facts.site.partitions or {}) == ["main", "short", "spot"]
    assert facts.time_in_words == {"main": "2-00:00:00", "short": "00:02:00", "spot": "1-00:00:00"}
    assert (facts.default_account, facts.accounting) == ("root", True)
    assert facts.qos_of == {"lab": ("normal",), "root": ("normal",)}
    assert facts.settings["SLURM_VERSION"] == "22.05.8"
    assert "GresTypes" not in facts.settings  # (null)


def test_a_cluster_of_slurm_24_11_as_documented(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "survey_by_hand")
    assert facts.preempted_qos == {"spareqos", "normallow"}
    assert facts.qos_of == {"neuro": ("normal", "high", "spareqos"), "guest": ("spareqos",)}
    assert [group.cpus for group in (facts.site.nodes or {})["normal"]] == [64, 128]
    assert (facts.site.groups, facts.default_account) == (("ada", "neuro", "cluster-users"), "neuro")


def test_a_cluster_without_accounting_is_not_asked_for_accounts(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "survey_old_by_hand")
    assert (facts.accounting, facts.site.associations) == (False, None)
    assert facts.settings["TmpFS"] == "/scratch/local"


def test_no_slurm_is_told_from_one_that_does_not_answer(tmp_path: Path) -> None:
    assert ask_slurm(survey_in(system_only(tmp_path / "none")), user="ada") is None
    broken = "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller' >&2; exit 1"
    survey = survey_in(fake_slurm(tmp_path / "bin", "survey_22.05", instead={"scontrol": broken, "sinfo": broken}))
    facts = ask_slurm(survey, user="ada")
    assert facts is not None
    assert facts.site.partitions is None
    assert [silence.command for silence in survey.silences] == [
        "scontrol show config",
        "scontrol -o show partition",
        "sinfo -h -e -o '%R|%c|%m|%G|%D|%f'",
    ]
    assert survey.silences[0].reason.endswith("Unable to contact slurm controller")


def test_a_program_that_hangs_is_asked_once(tmp_path: Path) -> None:
    folder = fake_slurm(tmp_path / "bin", "survey_22.05", instead={"sacctmgr": "exec sleep 60"})
    survey = survey_in(folder, timeout=0.5)
    facts = ask_slurm(survey, user="ada")
    assert facts is not None
    assert (facts.site.associations, facts.default_account) == (None, "")
    assert [silence.reason for silence in survey.silences] == [
        "no answer within 0.5 s",
        *["not asked: it did not answer before"] * 4,
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"ClusterName": "x"}, False),  # (null) is left out by the parser
        ({"AccountingStorageType": "accounting_storage/none"}, False),
        ({"AccountingStorageType": "accounting_storage/slurmdbd"}, True),
        ({"AccountingStorageType": "slurmdbd"}, True),
    ],
)
def test_whether_accounts_are_kept(settings: dict[str, str], expected: bool | None) -> None:
    assert has_accounting(settings) is expected


def test_odd_answers() -> None:
    assert parse_settings("A = 1\nB = (null)\nno setting\nC = a = b\n") == {"A": "1", "C": "a = b"}
    assert parse_default_account("Welcome to the site\nlab\n") == "lab"
    assert parse_default_account("") == ""
    assert parse_user_qos("lab|+a,b\nlab|c\na banner\n|x\n") == {"lab": ("a", "b", "c")}
    assert parse_preempted("a|b,c|\nbanner\n") == {"b", "c"}


def test_a_script_that_hangs_leaves_the_other_scripts_alone(tmp_path: Path) -> None:
    folder = fake_slurm(tmp_path / "bin", "survey_22.05", instead={"apptainer": "exec sleep 60"})
    survey = survey_in(folder, home=tmp_path, timeout=0.5)
    assert ask_machine(survey, environ={}).programs == {}
    assert [silence.command for silence in survey.silences] == ["the search for container runtimes"]


# --- the machine ---

LMOD = """\
/apps/modulefiles/Core:
apptainer/
apptainer/1.3.4
apptainer/1.10.0 (D)
singularity/4.1.2
singularity-tools/1
"""
ENVIRONMENT_MODULES = """\
/usr/share/modules/modulefiles:
tools/Apptainer/1.3.6(default)
tools/Apptainer/1.2.5
gcc/12
"""


def test_modules_of_lmod_and_of_environment_modules() -> None:
    assert parse_modules(LMOD)[:2] == ("apptainer/1.10.0", "apptainer/1.3.4")
    assert parse_modules(ENVIRONMENT_MODULES) == ("tools/Apptainer/1.3.6", "tools/Apptainer/1.2.5")
    assert parse_modules("apptainer\n") == ("apptainer",)
    assert parse_modules("Lmod has detected the following error: apptainer is not here\n") == ()


def test_what_a_machine_offers(tmp_path: Path) -> None:
    folder = system_only(tmp_path / "bin")
    apptainer = folder / "apptainer"
    apptainer.write_text("#!/bin/sh\necho apptainer version 1.4.1\n")
    apptainer.chmod(0o755)
    flow = tmp_path / "flow" / "tpl-MNI152NLin2009cAsym"
    flow.mkdir(parents=True)
    (flow / "a.nii.gz").write_text("x")
    (flow / "b.nii.gz").touch()
    (flow / "gone.nii.gz").symlink_to(tmp_path / "annex")
    licence = tmp_path / "license.txt"
    licence.write_text("key\n")
    environ = {"TEMPLATEFLOW_HOME": str(tmp_path / "flow"), "FS_LICENSE": str(licence), "SCRATCH": "/net/scratch"}
    survey = survey_in(folder, home=tmp_path)
    found = ask_machine(survey, environ=environ)
    assert survey.silences == []
    assert found.programs == {"apptainer": Program(str(apptainer), "apptainer version 1.4.1")}
    assert found.templateflow == (TemplateFlow(str(tmp_path / "flow"), 1, 1),)
    assert str(licence) in found.licences
    assert found.variables["SCRATCH"] == "/net/scratch"
    assert found.cpus
    assert found.memory_mb


def test_a_hostile_folder_name_is_no_command(tmp_path: Path) -> None:
    evil = tmp_path / "a'; touch pwned; $(touch pwned2)"
    evil.mkdir()
    (evil / "x.nii.gz").write_text("x")
    found = ask_machine(
        survey_in(system_only(tmp_path / "bin"), home=tmp_path), environ={"TEMPLATEFLOW_HOME": str(evil)}
    )
    assert [flow.images for flow in found.templateflow] == [1]
    assert not list(Path.cwd().glob("pwned*"))


def test_garbage_is_left_out() -> None:
    found = parse_machine("program\tx\ncpus\tmany\nmemory\t\nbanner\nmodule\t(none)\n", own_variables={})
    assert (found.programs, found.cpus, found.memory_mb, found.modules) == ({}, None, None, ())
