"""The HeudiConv heuristics that neuroflow ships; HeudiConv loads them as files."""

from __future__ import annotations

from pathlib import Path

SHIPPED_HEURISTIC = Path(__file__).resolve().parent / "diffusion.py"
