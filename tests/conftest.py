"""The whole suite runs with every shape annotation of rgdm checked at every call, in two processes of one thread."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads that share cores wait for each other

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests run only if ``-m`` speaks of them, so that ``-m 'not integration'`` is quick."""
    if "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


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


@pytest.fixture(scope="session")
def trained(request, tmp_path_factory) -> Callable[..., Path]:
    """``trained(dimension, boundary)``: the folder of a tiny trained model and its data, shared and only to be read."""
    from trained import trained  # which imports rgdm, after the hook above

    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("trained") if cache is not None else tmp_path_factory.mktemp("trained")
    return lambda dimension, boundary="reflect": trained(folder, dimension, boundary)


@pytest.fixture
def unchecked():
    """Annotations are not checked, as for a user: for tests of what rgdm itself says to bad input."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
