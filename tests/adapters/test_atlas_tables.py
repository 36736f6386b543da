"""QSIParc finds the label tables of QSIRecon's atlases, wherever QSIRecon put them."""

from __future__ import annotations

from pathlib import Path

from neuroflow.adapters.atlas_tables import copy_missing_tables, main

NEW = "sourcedata/atlases/tpl-MNI152NLin2009cAsym/tpl-MNI152NLin2009cAsym_atlas-4S156Parcels_res-01_dseg.tsv"
TABLE = "index\tlabel\n1\tLH_Vis_1\n"


def _write(path: Path, text: str = TABLE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_table_of_the_newer_layout_is_copied_to_where_qsiparc_looks(tmp_path: Path) -> None:
    _write(tmp_path / NEW)

    main([str(tmp_path)])

    folder = tmp_path / "atlases" / "atlas-4S156Parcels"
    assert [path.name for path in folder.iterdir()] == ["atlas-4S156Parcels_dseg.tsv"]
    assert (folder / "atlas-4S156Parcels_dseg.tsv").read_text() == TABLE


def test_a_table_that_is_there_stays(tmp_path: Path) -> None:
    _write(tmp_path / NEW)
    _write(tmp_path / "atlases/atlas-4S156Parcels/own_dseg.tsv", "mine")

    assert copy_missing_tables(tmp_path) == ()


def test_without_tables_or_dataset_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert copy_missing_tables(tmp_path / "missing") == ()
    _write(tmp_path / "sourcedata/atlases/dataset_description.json")
    assert copy_missing_tables(tmp_path) == ()
