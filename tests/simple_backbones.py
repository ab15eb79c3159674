"""Backbones of one line, for tests of what is around them."""

import math

import torch

from rgdm.model.networks.backbone import Backbone


class Zero(Backbone):
    def forward(self, x, t, features=None):
        return torch.zeros_like(x)


class Wave(Backbone):
    """A fixed network that depends on all it is given."""

    def forward(self, x, t, features=None):
        shift = 0 if features is None else features
        return torch.sin(x + t.reshape(-1, 1, 1, 1) + shift)


class Shrink(Backbone):
    """The exact rest of white data of variance 1/2, so that the flow has something to do, and is known."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, t, features=None):
        c, s = (f(t * math.pi / 2).reshape(-1, *[1] * (x.dim() - 1)) for f in (torch.cos, torch.sin))
        return c * s * (1 - 0.5) / (c**2 * 0.5 + s**2) * x
