"""Trainings of a tiny cascade in small steps, and whether two of them are the same."""

import json

import torch
from safetensors.torch import load_file

from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.train import CHECKPOINT, HISTORY, Budget, Trainer
from small import cascade

STEPS = 52


def fields() -> torch.Tensor:
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0)).cumsum(2) / 3


def tiny(**options) -> Cascade:
    torch.manual_seed(0)
    model = cascade(levels=2, width=4, encoder_blocks=1, decoder_blocks=1, **options)
    model.fit(fields())
    return model


def trainer(folder, steps: int = STEPS, model: Cascade | None = None, data=None, **options) -> Trainer:
    data = fields() if data is None else data
    return Trainer(model or tiny(), data, folder, Budget(steps=steps), device="cpu", precision="float32", **options)


def same(a, b) -> bool:
    """Whether two model folders hold the same state to the bit, and the same history but for the clock."""
    for name in (storage.WEIGHTS, CHECKPOINT):
        first, second = load_file(a / name), load_file(b / name)
        if set(first) != set(second) or not all(torch.equal(first[key], second[key]) for key in first):
            return False
    histories = [[json.loads(line) for line in (x / HISTORY).read_text().splitlines()] for x in (a, b)]
    for record in (record for history in histories for record in history):
        del record["seconds"]
    return histories[0] == histories[1] and len(histories[0]) > 0
