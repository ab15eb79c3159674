"""What can be known exactly: Gaussian fields, on which every method is linear.

    python benchmarks/theory.py --record

Nothing is trained, and but for the check of the chain's closed marginal nothing is sampled: each method is a linear map
of its noise, whose response to unit impulses gives the variance of every mode of what it generates. The field is
critical, ``S(k) ~ (khat^2 + (2 pi / L)^2)^(-1 + eta/2)`` with ``khat^2 = 4 sum sin^2(k/2)``, eta = 1/4, on
L x L periodic sites: its correlation length is L / 2 pi, whatever L. It is scaled to unit variance of a site. The worst
mode of a method is that of the largest ``|E|x_k|^2 / S(k) - 1|`` over all k.

The cascade has the exact Gaussian lift of each level, down to a coarse field drawn from its exact law; a
``TrigonometricFlow`` of one evaluation carries the whitened detail of a level, of which the exact estimate is
known too. The peers have the exact score of the whole field; an evaluation is one of the whole lattice. Only whitening
with the true spectrum makes any of them exact in one evaluation as well, and for Gaussian fields
that is the same as knowing the answer: what the comparison says is how evaluations grow with L, not which
method is cleverer. How many evaluations EDM takes depends on where it starts: its rows name the sigma_max, the best of
five or one for all. ``Ddim`` loses variance at every step, ``exp(-pi^2 / 4n)`` in n, whatever the data: with
spectrum-matched noise 49 for 5 %, where a step that is exact for white data takes one. ``--out`` receives the two
figures and ``theory.json``.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from exact.cascade import COARSEST, Radii, cascade_rows
from exact.marginals import marginal_rows
from exact.orders import order_rows
from exact.peers import LIMIT, peer_rows
from exact.pyramids import COUNTS, ablation, ablation_rows, draw_ablation
from matplotlib.figure import Figure
from record import Row, append, arguments, run, stamp, table

from rgdm.model.lifts.lift import COLOUR_RADIUS, PREDICTION_RADIUS
from rgdm.plots import figure_to_png
from rgdm.plots.style import BASELINES, COLUMN, GREY, LEVELS, MODEL, paper


def draw_scaling(path: Path, found: dict[str, dict[int, float]]) -> None:
    """Evaluations until the worst mode is within the limit, against L."""
    with paper():
        figure = Figure(figsize=(COLUMN * 1.4, 3.0))
        axes = figure.subplots()
        colours = [*BASELINES, GREY, *LEVELS, "#b9c0c8"]
        shown = [name for name in found if not name.startswith(("cascade", "whitened"))]
        for name, colour in zip(shown, colours, strict=False):
            axes.loglog(list(found[name]), list(found[name].values()), "o-", ms=2.5, lw=1, color=colour, label=name)
        sides = list(found[shown[0]])
        levels = [max(1.0, math.log2(side / COARSEST)) for side in sides]
        axes.loglog(sides, levels, "*-", ms=8, color=MODEL, label="cascade, one a level (error 1e-12)")
        axes.set(xlabel="L", ylabel=f"evaluations until the worst mode is within {LIMIT:.0%}")
        axes.set_xticks(sides, [str(side) for side in sides])
        axes.minorticks_off()
        figure.legend(loc="center left", bbox_to_anchor=(0.92, 0.5))
    path.write_bytes(figure_to_png(figure))


# --- output ----------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="small lattices, few steps: does everything run? Judges nothing")
    add("--seed", type=int, default=0, help="of the simulated chains")
    add("--out", type=Path, default=Path("runs/theory"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    torch.set_default_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    sides = [32, 64] if options.quick else [32, 64, 128, 256, 512]
    shipped, wider = Radii(PREDICTION_RADIUS, COLOUR_RADIUS), [Radii(5, 5), Radii(7, 7), Radii(11, 11)]
    counts = COUNTS[:4] if options.quick else COUNTS
    found: dict[str, dict[int, float]] = {}
    rows: list[Row] = []

    def done(more: list[Row]) -> None:
        more = [row._replace(target="", met=None) for row in more] if options.quick else more
        rows.extend(more)
        print(f"\n{table(more)}", flush=True)

    done(cascade_rows(sides, [shipped] if options.quick else [shipped, *wider], found))
    done(peer_rows([8, 16, *sides], found))
    done(order_rows(options.quick))
    done(marginal_rows(options.quick, options.seed))
    errors = ablation(counts)
    done(ablation_rows(errors, counts))
    draw_ablation(options.out / "ablation.png", errors, counts)
    draw_scaling(options.out / "scaling.png", found)
    saved = {"run": begun, "rows": [row._asdict() for row in rows], "scaling": found, "ablation": errors}
    (options.out / "theory.json").write_text(json.dumps(saved, indent=1))
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
