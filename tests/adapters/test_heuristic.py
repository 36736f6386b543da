"""The shipped heuristic gives diffusion sessions BIDS names, and leaves out what it does not know."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC
from neuroflow.adapters.heuristics.diffusion import bids_name, infotodict


@dataclass(frozen=True)
class SeqInfo:
    """The fields of HeudiConv's SeqInfo that the heuristic reads."""

    series_description: str
    series_id: str = "1-x"
    protocol_name: str = ""
    sequence_name: str | None = ""
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND")
    is_derived: bool = False


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("DTI_Biobank_2mm_MB3S2_EPI", "dwi/dwi"),
        ("ep2d_diff_mddw_64_p2", "dwi/dwi"),
        ("cmrr_mbep2d_diff_AP", "dwi/dir-AP_dwi"),
        ("dMRI_dir98_PA", "dwi/dir-PA_dwi"),
        ("dMRI_dir98_PA_SBRef", "dwi/dir-PA_sbref"),
        ("AX DWI b1000", "dwi/dwi"),
        ("NODDI_multishell_b2000", "dwi/dwi"),
        ("dwi_b0_PA", "fmap/acq-dwi_dir-PA_epi"),
        ("DTI_fmap_AP", "fmap/acq-dwi_dir-AP_epi"),
        ("SpinEchoFieldMap_LR", "fmap/acq-dwi_dir-LR_epi"),
        ("dwi_topup", "fmap/acq-dwi_dir-unknown_epi"),
        ("dwi_b0_b1000_b2000_AP", "dwi/dir-AP_dwi"),
        ("t1_mprage_sag_p2_iso", "anat/T1w"),
        ("Sag 3D T1 BRAVO", "anat/T1w"),
        ("T1w_MPR", "anat/T1w"),
        ("WIP 3D_TFE", "anat/T1w"),
        ("t2_spc_sag_p2_iso", "anat/T2w"),
        ("T2w_SPC", "anat/T2w"),
        ("AAHead_Scout", None),
        ("localizer", None),
        ("gre_field_mapping", None),
        ("t2_flair_sag", None),
        ("t2star_axial", None),
        ("rfMRI_REST_AP", None),
        ("task-nback_bold", None),
        ("pcasl_3d", None),
        ("ep2d_diff_64_ADC", None),
        ("ep2d_diff_64_TRACEW", None),
        ("ep2d_diff_64_FA", None),
        ("mp2rage_inv1", None),
        ("SWI_Images", None),
        ("PhoenixZIPReport", None),
        ("", None),
    ],
)
def test_a_series_gets_the_name_that_its_description_tells(description: str, name: str | None) -> None:
    assert bids_name(SeqInfo(description)) == name


def test_a_siemens_diffusion_sequence_is_one_whatever_it_is_called() -> None:
    assert bids_name(SeqInfo("series 7", sequence_name="*ep_b1000#3")) == "dwi/dwi"


@pytest.mark.parametrize(
    "series",
    [
        SeqInfo("dwi", is_derived=True),
        SeqInfo("dwi", image_type=("ORIGINAL", "PRIMARY", "DIFFUSION", "ADC")),
        SeqInfo("dwi", image_type=("ORIGINAL", "PRIMARY", "P", "ND")),
    ],
)
def test_derived_and_phase_images_are_left_out(series: SeqInfo) -> None:
    assert bids_name(series) is None


def test_beside_functional_scans_a_field_map_must_say_that_it_is_for_diffusion() -> None:
    series = [
        SeqInfo("SpinEchoFieldMap_AP", "1"),
        SeqInfo("dwi_fmap_PA", "2"),
        SeqInfo("rest_bold", "3"),
        SeqInfo("dwi_AP", "4"),
    ]

    assert sorted(ids for ids in infotodict(series).values()) == [["2"], ["4"]]


def test_series_with_one_name_are_numbered_all_and_share_no_name() -> None:
    info = infotodict([SeqInfo("dwi_AP", "3"), SeqInfo("t1_mprage", "4"), SeqInfo("dwi_AP", "5")])

    names = {ids[0]: template.format(subject="X", session="ses-1") for (template, _, _), ids in info.items()}
    assert names == {
        "3": "sub-X/ses-1/dwi/sub-X_ses-1_dir-AP_run-01_dwi",
        "4": "sub-X/ses-1/anat/sub-X_ses-1_T1w",
        "5": "sub-X/ses-1/dwi/sub-X_ses-1_dir-AP_run-02_dwi",
    }


@pytest.mark.parametrize("text", ["dwi {x} %s", "dwi ../../etc", "dwi [a]*", "dwi_é"])
def test_nothing_of_a_description_gets_into_a_name(text: str) -> None:
    ((template, _, _),) = infotodict([SeqInfo(text)])

    assert re.fullmatch(r"[a-zA-Z0-9_/{}-]+", template)
    assert template.format(subject="X", session="ses-1") == "sub-X/ses-1/dwi/sub-X_ses-1_dwi"


def test_the_shipped_file_is_the_heuristic() -> None:
    assert SHIPPED_HEURISTIC.read_text(encoding="utf-8").startswith('"""HeudiConv heuristic')
