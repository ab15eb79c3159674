"""The studies by name: where each is, and what it asks."""

import ast
from pathlib import Path

STUDIES = {
    "terrain": "fields.terrain",
    "hierarchy": "fields.hierarchy",
    "backbones": "fields.backbones",
    "learned": "fields.learned",
    "scattering": "fields.scattering",
    "seam": "fields.seam",
    "elsewhere": "fields.elsewhere",
    "downscaling": "fields.downscaling",
    "sea": "fields.sea",
    "persistence": "fields.persistence",
    "weather": "fields.weather",
    "width": "fields.width",
    "busy": "fields.busy",
    "alive": "fields.alive",
    "lattice": "physics.lattice",
    "strengths": "physics.strengths",
    "inverse_rg": "physics.inverse_rg",
    "spins": "physics.spins",
    "reweighting": "physics.reweighting",
    "couplings": "physics.couplings",
    "theory": "exact.theory",
    "least_action": "exact.least_action",
    "phase_space": "exact.phase_space",
    "ablation": "exact.ablation",
}
"""In the order of the page of results."""
TOOLS = {
    "etopo": "fields.etopo",
    "maps": "fields.maps",
    "critical_gallery": "physics.critical_gallery",
    "critical_points": "physics.critical_points",
    "render": "render",
}
"""What records nothing: data, pictures, pages."""


def question(name: str) -> str:
    """The first line of a study's header."""
    path = Path(__file__).parent / (STUDIES[name].replace(".", "/") + ".py")
    if not path.is_file():
        return ""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
