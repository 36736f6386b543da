"""The workflows and atlases that QSIRecon has built in, to notice a mistyped name before a run does."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from neuroflow.adapters.versions import QSIRECON_OLDEST, Release, release, tool_version
from neuroflow.config.execution import QSIReconSettings
from neuroflow.config.fields import SPEC_FILE
from neuroflow.errors import AdapterError

# Read in each release: https://github.com/PennLINC/qsirecon/tree/26.0.0/qsirecon/data/pipelines
_NEWEST: Release = (26, 0, 0)
_SPECS = (
    "TORTOISE",
    "amico_noddi",
    "csdsi_3dshore",
    "dipy_3dshore",
    "dipy_dki",
    "dipy_mapmri",
    "dsi_studio_autotrack",
    "dsi_studio_gqi",
    "hbcd_scalar_maps",
    "mrtrix_multishell_msmt_ACT-fast",
    "mrtrix_multishell_msmt_ACT-hsvs",
    "mrtrix_multishell_msmt_noACT",
    "mrtrix_multishell_msmt_pyafq_tractometry",
    "mrtrix_singleshell_ss3t_ACT-fast",
    "mrtrix_singleshell_ss3t_ACT-hsvs",
    "mrtrix_singleshell_ss3t_noACT",
    "multishell_scalarfest",
    "pyafq_tractometry",
    "reorient_fslstd",
    "ss3t_fod_autotrack",
    "test_scalar_maps",
    "test_workflow",
)
_LATER_SPECS: dict[str, Release] = {
    "abcd_recon": (1, 2, 0),
    "mrtrix_multishell_msmt_noACT_apply": (1, 2, 0),
    "mrtrix_multishell_msmt_noACT_estimate": (1, 2, 0),
}
# https://qsirecon.readthedocs.io/en/latest/builtin_workflows.html#atlases
_ATLASES = (
    "AAL116",
    "AICHA384Ext",
    "Brainnetome246Ext",
    "Gordon333Ext",
    *(f"4S{100 * number + 56}Parcels" for number in range(1, 11)),
)


def unknown_names(settings: QSIReconSettings) -> Iterator[str]:
    """Say which names are none that QSIRecon is known to have; of a program of the site's own nothing is known."""
    if settings.program:
        return
    spec = settings.recon_spec
    version = _release(settings)
    specs = [*_SPECS, *(name for name, since in _LATER_SPECS.items() if version >= since)]
    if not SPEC_FILE.is_file(spec) and spec not in specs:
        of = ".".join(map(str, version))
        yield f"pipelines.qsirecon.recon_spec: '{spec}' is no known workflow of QSIRecon {of}{_near(spec, specs)}"
    # A further dataset may bring atlases.
    for atlas in settings.atlases if not settings.datasets else ():
        if atlas not in _ATLASES:
            yield f"pipelines.qsirecon.atlases: '{atlas}' is no known atlas of QSIRecon{_near(atlas, _ATLASES)}"


def _release(settings: QSIReconSettings) -> Release:
    """Return the release that is set or that the image's name tells; otherwise the newest that is known."""
    version = tool_version("qsirecon", image=settings.image, version=settings.version)
    try:
        return release("qsirecon", version, oldest=QSIRECON_OLDEST)
    except AdapterError:
        return _NEWEST


def _near(name: str, known: Collection[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else f"; there are: {', '.join(known)}"
