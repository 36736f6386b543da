"""Find the files that neuroflow ships beside its code: sbatch templates, site files, container recipes."""

from __future__ import annotations

from pathlib import Path

from neuroflow.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def data_path(name: str) -> Path:
    """Return a shipped folder, such as `slurm`, of an installed wheel or of a checkout.

    Raises:
        ConfigError: when the installation lacks it.
    """
    candidates = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = " nor ".join(str(candidate) for candidate in candidates)
    raise ConfigError(
        f"neuroflow's folder '{name}' is missing: neither {looked} is there", hint="install neuroflow again"
    )
