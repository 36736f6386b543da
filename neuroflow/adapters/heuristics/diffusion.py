"""HeudiConv heuristic for diffusion sessions: DWI with its SBRef, T1w, T2w and reversed-phase EPI field maps.

Series are told apart by their description and protocol name. Derived maps (ADC, FA, TRACEW), phase images and
localizers are left out, and so is every series that no rule knows. Where two series would get one name, all of
that name are numbered with `run-`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# HeudiConv fills `IntendedFor` of the field maps, which QSIPrep needs to use them.
POPULATE_INTENDED_FOR_OPTS = {"matching_parameters": ["ModalityAcquisitionLabel"], "criterion": "First"}

Key = tuple[str, tuple[str, ...], None]

_SKIPPED = re.compile(r"localizer|scout|survey|smartbrain|phoenix|3.?plane|calibration|asset", re.IGNORECASE)
_DERIVED_TYPES = frozenset({"ADC", "FA", "TRACEW", "TENSOR", "COLFA", "EADC", "P", "PHASE", "PHASE MAP"})
_DERIVED_NAME = re.compile(r"_(?:ADC|E?XP?ADC|TRACEW?|FA|ColFA|TENSOR(?:_B0)?)$", re.IGNORECASE)
_DWI = re.compile(
    r"dwi|dti|dsi(?![a-z])|dmri|diff|hardi|noddi|multi.?shell|(?<![a-z0-9])b[1-9][0-9]{2,4}(?![0-9])", re.IGNORECASE
)
_SIEMENS_DWI_SEQUENCE = re.compile(r"ep_b[0-9]")
_FIELD_MAP = re.compile(
    r"fmap|field.?map|topup|distortion|blip|rev(?:erse)?.?(?:p(?:hase|e)|b0)|(?<![a-z])rpe(?![a-z])"
    r"|(?:spin.?echo|se).?(?:epi|field)",
    re.IGNORECASE,
)
_B0_ONLY = re.compile(r"(?<![a-z0-9])b0(?![0-9])", re.IGNORECASE)
_B_VALUE = re.compile(r"(?<![a-z0-9])b[1-9][0-9]{2,4}(?![0-9])|[0-9]+.?dir(?![a-z])", re.IGNORECASE)
_GRADIENT_ECHO = re.compile(r"(?<![a-z])gre(?![a-z])", re.IGNORECASE)
_OTHER_USE = re.compile(r"bold|fmri|rest(?:ing)?(?![a-z])|task|asl(?![a-z])|perf", re.IGNORECASE)
_SBREF = re.compile(r"sbref", re.IGNORECASE)
_DIRECTION = re.compile(r"(?<![A-Za-z])(AP|PA|LR|RL|SI|IS)(?![A-Za-z])", re.IGNORECASE)
_T1W = re.compile(
    r"(?<![a-z0-9])t1(?!.?(?:rho|map|flair|tse))|mprage|mp.rage|bravo|fspgr|(?<![a-z])3d.?tfe|ir.?fspgr", re.IGNORECASE
)
_T2W = re.compile(r"(?<![a-z0-9])t2(?!.?(?:star|\*|map|flair))|(?<![a-z])cube.?t2", re.IGNORECASE)
_NOT_ANATOMY = re.compile(r"mp2rage|flair|inv.?[12](?![0-9])|swi|angio|tof|vnav|setter", re.IGNORECASE)


def infotodict(seqinfo: Iterable[Any]) -> dict[Key, list[str]]:
    """Map each BIDS name to the series that becomes it."""
    all_series = list(seqinfo)
    # Field maps of a functional scan don't fit the diffusion scan.
    functional = any(_OTHER_USE.search(_words(series)) for series in all_series)
    found: dict[str, list[str]] = {}
    for series in all_series:
        name = bids_name(series, functional=functional)
        if name is not None:
            found.setdefault(name, []).append(series.series_id)
    info: dict[Key, list[str]] = {}
    for name, ids in found.items():
        for number, series_id in enumerate(ids, start=1):
            info[_key(name, run=number if len(ids) > 1 else None)] = [series_id]
    return info


def bids_name(series: Any, *, functional: bool = False) -> str | None:
    """Return `datatype/entities_suffix` of a series, or None where it is left out.

    Args:
        functional: the session has functional scans, so a field map must say that it is one for diffusion.
    """
    text = _words(series)
    if _SKIPPED.search(text) or _OTHER_USE.search(text) or _is_derived(series):
        return None
    if _is_field_map(text):
        if functional and not _DWI.search(text):
            return None
        return f"fmap/acq-dwi_dir-{_direction(series) or 'unknown'}_epi"
    if _DWI.search(text) or _SIEMENS_DWI_SEQUENCE.search(series.sequence_name or ""):
        return _dwi_name(series, text)
    if _NOT_ANATOMY.search(text):
        return None
    if _T1W.search(text):
        return "anat/T1w"
    return "anat/T2w" if _T2W.search(text) else None


def _words(series: Any) -> str:
    return f"{series.series_description or ''} {series.protocol_name or ''}"


def _key(name: str, *, run: int | None) -> Key:
    datatype, _, rest = name.partition("/")
    entities, underscore, suffix = rest.rpartition("_")
    number = f"run-{run:02d}_" if run is not None else ""
    file = f"sub-{{subject}}_{{session}}_{entities}{underscore}{number}{suffix}"
    return f"sub-{{subject}}/{{session}}/{datatype}/{file}", ("nii.gz",), None


def _dwi_name(series: Any, text: str) -> str:
    direction = _direction(series)
    suffix = "sbref" if _SBREF.search(text) else "dwi"
    return f"dwi/dir-{direction}_{suffix}" if direction else f"dwi/{suffix}"


def _is_derived(series: Any) -> bool:
    types = {str(word).upper() for word in series.image_type or ()}
    return (
        bool(series.is_derived)
        or bool(types & _DERIVED_TYPES)
        or bool(_DERIVED_NAME.search(series.series_description or ""))
    )


def _is_field_map(text: str) -> bool:
    if _GRADIENT_ECHO.search(text) or _SBREF.search(text):
        return False
    if _FIELD_MAP.search(text):
        return True
    # A diffusion scan without weighting is there for its reversed phase encoding.
    return bool(_DWI.search(text) and _B0_ONLY.search(text) and not _B_VALUE.search(text))


def _direction(series: Any) -> str:
    """Return the phase-encoding direction that the series' name tells, such as `AP`, or nothing."""
    for text in (series.series_description, series.protocol_name):
        match = _DIRECTION.search((text or "").replace("_", " "))
        if match:
            return match.group(1).upper()
    return ""
