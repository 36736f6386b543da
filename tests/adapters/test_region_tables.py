"""QSIParc's tables are taken cell by cell as they are, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.adapters.region_tables import ScalarMap, find_tables, parse_name, parse_table
from neuroflow.errors import AdapterError


def test_a_name_says_what_the_table_measures_and_of_which_acquisition() -> None:
    file = parse_name(
        Path("sub-01_ses-a_atlas-4S_software-MRtrix3_act-HSVS_dir-AP_run-1_space-ACPC_model-dki_param-fa_diffmap.tsv")
    )

    assert file.scalar_map == ScalarMap("4S", "MRtrix3", "dki", "fa", "act-HSVS")
    assert file.scalar_map.name == "fa_4S_MRtrix3_dki_act-HSVS"
    assert file.acquisition == "dir-AP_run-1"


def test_a_map_without_a_parameter_goes_by_its_description() -> None:
    assert parse_name(Path("sub-01_ses-a_atlas-4S_desc-gfa_diffmap.tsv")).scalar_map.parameter == "gfa"


def test_cells_stay_as_they_are_written() -> None:
    table = parse_table('index\tlabel\tmean\n1\t"a\tb"\t0.700000\n2\tx\t\n')

    assert [tuple(row) for row in table.rows] == [("1", "a\tb", "0.700000"), ("2", "x", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cut short"),
        ("index\tlabel\tmean\n1\ta\t0.7", "cut short"),
        ("index\tlabel\tmean\n1\ta\n", "2 cells"),
        ("index\tmean\n1\t2\n", "no column 'label'"),
        ("label\tmean\n1\t2\n", "no column 'index'"),
        ("index\tlabel\n1\ta\n1\tb\n", "same region index"),
    ],
)
def test_what_is_no_whole_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(AdapterError, match=said):
        parse_table(text)


def test_a_table_of_another_session_is_named_and_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01/ses-a/dwi/atlas-X"
    folder.mkdir(parents=True)
    for name in ("sub-01_ses-a_atlas-X_param-fa_diffmap.tsv", "sub-02_ses-a_atlas-X_param-fa_diffmap.tsv"):
        (folder / name).write_text("")
    (folder / "sub-01_ses-a_atlas-X_param-fa_diffmap.json").write_text("")

    found = find_tables(tmp_path, subject="01", session="a")

    assert [file.path.name[:6] for file in found.files] == ["sub-01"]
    assert "sub-02" in found.problems[0]
