"""Make the golden model again, after a change of its format: ``PYTHONPATH=tests python tests/golden/make.py``."""

import json
from pathlib import Path

import torch

from rgdm import Cascade
from small import cascade

FOLDER = Path(__file__).parent
LATTICE = (8, 12)


def make() -> Cascade:
    """A tiny cascade whose every part does something."""
    torch.manual_seed(0)
    x = torch.randn(4, 2, 16, 24).cumsum(2) / 4
    model = cascade(channels=2, levels=2, width=3, encoder_blocks=1, decoder_blocks=1, evaluations=2)
    model.fit(x)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.metadata = {"channels": ["u", "v"], "axes": ["y", "x"], "attrs": {"units": "m"}}
    return model


if __name__ == "__main__":
    model = make()
    model.save_pretrained(FOLDER / "model")
    (FOLDER / "sample.json").write_text(json.dumps(model.sample(LATTICE, seed=0).tolist()) + "\n")
