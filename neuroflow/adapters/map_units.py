"""The unit of a scalar map, as QSIRecon's sidecar of it says; programs differ in their units of diffusivity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neuroflow.adapters.region_tables import TableFile

_LARGEST_BYTES = 1_000_000


def map_unit(file: TableFile, qsirecon: Path) -> str:
    """Return the unit of the map that a region table was made from; nothing where no file says it.

    Args:
        qsirecon: QSIRecon's dataset; the path in QSIParc's sidecar is that of a container.
    """
    about = _object(file.path.with_suffix(".json"))
    software, source = about.get("software"), about.get("source_file")
    if not isinstance(source, str) or not isinstance(software, str) or "/" in software:
        return ""
    folder = file.path.parents[2].relative_to(file.path.parents[4])  # sub-X/ses-Y
    name = Path(source).name.partition(".nii")[0] + ".json"
    unit = _object(qsirecon / "derivatives" / f"qsirecon-{software}" / folder / "dwi" / name).get("Units")
    return unit if isinstance(unit, str) else ""


def _object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
