"""Runs that the tests of the training compare with."""

import pytest
from training_runs import trainer

import rgdm.train.loop
from rgdm.train import Batches


class SmallBatches(Batches):
    """Batches of a tenth of the usual size: what a training is a function of has nothing to do with it."""

    def __init__(self, model, fields, seed: int, mirror: bool = True, sites: int = 700) -> None:
        super().__init__(model, fields, seed, mirror, sites)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(rgdm.train.loop, "Batches", SmallBatches)


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rgdm.train.loop, "Batches", SmallBatches)
        trainer(folder).run()
    return folder
