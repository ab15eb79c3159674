"""Backbones of one line, for tests of what is around them."""

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
