"""The whole suite runs with every shape annotation of rgdm checked at every call."""

import jaxtyping
import pytest
import torch
from hypothesis import settings

# jaxtyping pastes this text into a decorator, so it may be any expression that starts with a module's name.
# An int passes for a float, as it does for pyright.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(strategy=beartype.BeartypeStrategy.On, is_pep484_tower=True))"
jaxtyping.install_import_hook("rgdm", CHECKER)

settings.register_profile("rgdm", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("rgdm")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every test, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def float64():
    """New tensors are float64 while a module that asks for this runs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def unchecked():
    """Annotations are not checked, as for a user: for tests of what rgdm itself says to bad input."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
