"""neuroflow: diffusion MRI from the scanner's DICOM folders to region tables, unattended."""


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: every job on a node imports this package."""
    if name != "__version__":
        raise AttributeError(f"module 'neuroflow' has no attribute '{name}'")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("neuroflow")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
