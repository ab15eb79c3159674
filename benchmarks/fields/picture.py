"""The figure of the terrain study: held-out tiles, what each method makes of them, and the spread."""

from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from torch import Tensor

from benchmarks.shared.drawing import drawn
from rgdm.plots import Look
from rgdm.plots.style import PAGE, bare


def draw(path: Path, panels: dict[str, Tensor], coarse: Tensor, spread: Tensor, rows: int = 3) -> None:
    """Columns: the first of ``panels`` (truth), the coarse field, the other panels, the spread; all (B, 1, *L)."""
    chosen = np.linspace(0, len(coarse) - 1, min(rows, len(coarse))).round().astype(int)
    titles, fields = list(panels), [field[chosen].double().numpy() for field in panels.values()]
    titles.insert(1, "coarse (1/8)")
    fields.insert(1, coarse[chosen].double().numpy())
    deviation = spread[chosen, 0].double().numpy()
    look = Look.of(fields[0], "terrain")
    colours = ScalarMappable(PowerNorm(0.6, 0, float(np.quantile(deviation, 0.995)), clip=True), "magma")
    gap, columns = 0.03, len(fields) + 1
    side = (PAGE - gap * (columns - 1)) / columns
    height = len(chosen) * (side + gap) - gap
    with drawn(path, PAGE, height) as figure:
        for row in range(len(chosen)):
            bottom = height - (row + 1) * side - row * gap
            for column in range(columns):
                box = (column * (side + gap) / PAGE, bottom / height, side / PAGE, side / height)
                axes = figure.add_axes(box)
                bare(axes)
                if row == 0:
                    axes.set_title([*titles, "spread"][column], pad=3, fontsize=6.5)
                if column == len(fields):
                    axes.imshow(colours.to_rgba(deviation[row])[..., :3], origin="lower")
                    continue
                field = fields[column][row][:, ::-1]  # north up, so that the light comes from the north-west
                shown = look.picture(field, fields[0].shape[-1] / field.shape[-1])
                axes.imshow(shown, interpolation="nearest" if field.shape[-1] < 160 else "antialiased")
