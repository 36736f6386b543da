"""NeuroflowConfig: every setting of neuroflow, typed, frozen, loaded once at the entry point."""

from neuroflow.config.load import NeuroflowConfig

__all__ = ["NeuroflowConfig"]
