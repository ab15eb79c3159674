"""The tables that README and docs take from the results, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Excerpt:
    """Of one study: the table that its rows are from, and rows and columns as ``shown: name in the data``.

    A column of another table is a pair (table, name). Without rows or columns all there are.
    """

    study: str
    table: str
    title: str = ""
    columns: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    bold: str = ""
    """The row in bold."""


EXCERPTS = {
    "terrain": Excerpt(
        "terrain",
        "methods",
        columns={
            "fair CRPS, m": "CRPS",
            "ratio of rgdm to it": ("CRPS over that of a peer", "CRPS ratio"),
            "spread / error": "spread/skill",
        },
        rows={
            "block means as they are": "block-constant",
            "consistent bicubic": "consistent bicubic",
            "RainFARM, best variant": "RainFARM, best",
            "Gaussian lift with local amplitude, best variant": "Gaussian lift, best",
            "single-stage U-Net diffusion, 1.7 million parameters, 19 evaluations": "U-Net, best",
            "rgdm, 0.1 million parameters, 3 x 3 evaluations": "rgdm",
        },
        bold="rgdm",
    ),
}
