"""Generic resources as SLURM writes them, such as `gpu:a100:2,tmp:100G`, and the GPUs in them."""

from __future__ import annotations

import re

# https://slurm.schedmd.com/sbatch.html#OPT_gres: "name[[:type]:count]", separated by commas. A type that is all digits
# would be a count.
_ITEM = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*)"
    r"(?::(?P<type>[\w.+-]*[A-Za-z_.+-][\w.+-]*))??"
    r"(?::(?P<count>\d+[kKmMgGtTpP]?))?"
)
# sinfo adds the sockets: gpu:a100:4(S:0-1).
_SOCKETS = re.compile(r"\([^)]*\)")


def is_gres(text: str) -> bool:
    """Tell whether a request such as `gpu:a100:1,tmp:10G` can be read."""
    return all(_ITEM.fullmatch(item) for item in text.split(","))


def gpus_of(gres: str | None, *, kind: str | None = None) -> int:
    """Return how many GPUs are meant, 2 for `gpu:a100:2`; only those of one type, where one is named."""
    return sum(
        int(item["count"] or 1)
        for item in _items(gres)
        if item["name"] == "gpu" and (item["count"] or "1").isdigit() and kind in (None, item["type"])
    )


def gpu_type_of(gres: str | None) -> str | None:
    """Return the type of the GPUs, `a100` for `gpu:a100:2`; None where none is named."""
    return next((item["type"] for item in _items(gres) if item["name"] == "gpu"), None)


def with_gpus(gres: str, number: int) -> str | None:
    """Return the same resources with another number of GPUs, of the same type; None where nothing is left."""
    others = [item[0] for item in _items(gres) if item["name"] != "gpu"]
    gpu = ":".join(part for part in ("gpu", gpu_type_of(gres), str(number)) if part)
    return ",".join([gpu, *others] if number else others) or None


def _items(gres: str | None) -> list[re.Match[str]]:
    texts = _SOCKETS.sub("", gres or "").split(",")
    return [item for text in texts if (item := _ITEM.fullmatch(text.strip())) is not None]
