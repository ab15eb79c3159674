"""Runs that the tests of the training compare with."""

import pytest
from training_runs import trainer

import rgdm.train.loop
import rgdm.train.validation
from rgdm.train import TURNED, Batches, Turns


class SmallBatches(Batches):
    """Batches of a tenth of the usual size: what a training is a function of has nothing to do with it."""

    def __init__(self, model, fields, seed: int, turns: Turns = TURNED, sites: int = 700) -> None:
        super().__init__(model, fields, seed, turns, sites)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch) -> None:
    for module in (rgdm.train.loop, rgdm.train.validation):
        monkeypatch.setattr(module, "Batches", SmallBatches)


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        for module in (rgdm.train.loop, rgdm.train.validation):
            patch.setattr(module, "Batches", SmallBatches)
        trainer(folder).run()
    return folder
