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


def named(*names: str) -> dict[str, str]:
    """Shown as they are called."""
    return dict(zip(names, names, strict=True))


OVER_UNET = {"CRPS over the U-Net's": "CRPS over U-Net", "energy score over it": "energy over U-Net"}
PUPILS = {
    f"{shown}, {where}": f"{name}, 1{suffix}"
    for where, suffix in (("two cores", ""), ("one H100", ", GPU"))
    for shown, name in (("`energy`", "energy score"), ("distilled", "distilled"))
}
TEXTURE = named("loss 0", "loss 1", "loss 2", "CRPS", "steps", "steps without")
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
            "rgdm, 0.1 million parameters, 3 x 4 evaluations": "rgdm",
        },
        bold="rgdm",
    ),
    "elsewhere": Excerpt(
        "elsewhere",
        "refined x8, five minutes, the defaults",
        "data, channel",
        named("spread/skill", "octave 1", "octave 2", "octave 3", "CRPS over bicubic"),
    ),
    "rain": Excerpt(
        "downscaling",
        "ERA5 rain, x8",
        "rain, ten members",
        named("CRPS over RainFARM", "spread/skill", "zeros, off by", "wet area", "q99.9", "octave 1", "octave 2"),
        {
            "positive, trained for 5 minutes": "shares",
            "positive, measured in seconds": "tables",
            "differences, 5 minutes, clipped": "clipped",
            "RainFARM": "RainFARM",
            "RainFARM, fused": "RainFARM, fusion",
        },
    ),
    "weather": Excerpt(
        "weather",
        "ERA5, x8",
        "variable, method",
        named("CRPS over bicubic", "CRPS over U-Net", "spread/skill", "octave 1", "octave 2", "octave 3"),
        named(
            *(
                f"{variable}, {method}"
                for variable in ("t2m", "u10", "v10")
                for method in ("orography", "alone", "closed form, orography", "closed form", "U-Net")
            )
        ),
    ),
    "sea": Excerpt(
        "sea",
        "COADS, x4",
        "sea temperature, ten members",
        {"CRPS over filled": "CRPS over filled", "of blocks at the coast": "of partial blocks"}
        | named("spread/skill", "means off by", "octave 1", "octave 2"),
        {
            "gaps as they are": "gaps",
            "the same, not trained": "closed form",
            "filled, trained, shifted": "filled",
        },
    ),
    "strengths": Excerpt(
        "strengths", "off by", "critical φ⁴, samples less an independent simulation", named("S / N", "<phi^2>", "nn")
    ),
    "operators-terrain": Excerpt("learned", "operators, terrain", "operator", named("bits", "sparsity", "code length")),
    "width": Excerpt(
        "width",
        "terrain, a width at a time",
        "terrain x8 in ETOPO5, five minutes",
        {"CRPS over that of width 48": "CRPS over the widest", "steps": "steps", "parameters": "parameters"},
        {f"width {width}": f"{width}, run 0" for width in (16, 24, 32, 48)},
    ),
    "hierarchy-width": Excerpt(
        "hierarchy",
        "narrower cascades against the U-Net",
        "cascade, 9 evaluations in all",
        {"k multiply-adds a site": "k multiply-adds a site", "times fewer": "times fewer"} | OVER_UNET,
    ),
    "hierarchy-tiles": Excerpt(
        "hierarchy",
        "trained on fewer tiles",
        "trained on",
        OVER_UNET | {"CRPS over that with 22 tiles": "CRPS over all tiles"},
    ),
    "evaluations-terrain": Excerpt(
        "learned", "evaluations a level, against 8, terrain", "terrain", named("CRPS", "energy", "times faster"), PUPILS
    ),
    "evaluations-phi4": Excerpt(
        "learned",
        "evaluations a level, against 8, phi4",
        "critical φ⁴",
        named("CRPS", "energy", "times faster") | {"bias of the action of a site": "S/N"},
        PUPILS | {"denoiser, 8, two cores": "denoiser, 8", "denoiser, 8, one H100": "denoiser, 8, GPU"},
    ),
    "backbones": Excerpt(
        "backbones",
        "backbones, terrain",
        "backbone",
        {"loss, finest level": "loss 0", "middle": "loss 1", "coarsest": "loss 2", "CRPS over `conv`": "CRPS"}
        | {"steps in the time": "steps", "s a megapixel": "s/megapixel"},
    ),
    "texture-phi4": Excerpt("scattering", "shown scattering, over that without, phi4", "critical φ⁴", TEXTURE),
    "texture-terrain": Excerpt("scattering", "shown scattering, over that without, terrain", "terrain", TEXTURE),
    "makers-terrain": Excerpt(
        "scattering",
        "peers, terrain, scattering distance in sigma",
        "fields",
        {"distance, order 0": "order 0", "order 1": "order 1", "order 2": "order 2", "power": "power"},
        {
            "training tiles, as a reference": "the true fields given one each",
            "cascade, 90 s": "cascade",
            "maximum entropy, mean statistics": "maximum entropy, mean statistics",
            "maximum entropy, those of one tile each": "maximum entropy, statistics of one field each",
        },
    ),
    "gaussian-modes": Excerpt(
        "phase_space",
        "Gaussian modes, worst error after n evaluations",
        "evaluations",
        {
            "`FittedSplitting`": "fitted splitting",
            "`FittedMultistep`": "FittedMultistep",
            "`SymplecticSplitting`": "splitting",
        },
        named("2", "4", "8", "16"),
    ),
}
