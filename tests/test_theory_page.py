"""What docs/theory.md says: the tests and objects it names exist, and the one claim that has no other test."""

import ast
import importlib
import math
import re
from pathlib import Path

import pytest
import torch

from rgdm.scale.operators import BlockSpin, MomentumShell, Wavelet

ROOT = Path(__file__).parents[1]
if not (ROOT / "docs" / "theory.md").exists():
    pytest.skip("an archive of the source has no pages", allow_module_level=True)
PAGE = (ROOT / "docs" / "theory.md").read_text()
TESTS = sorted(set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE)))
OBJECTS = sorted(set(re.findall(r"\{py:\w+\}`(?:~|[^`<]*<)([\w.]+)", PAGE)))


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_each_test_that_the_page_names_is_there(file, name):
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name.startswith("test_") and name in functions


@pytest.mark.parametrize("path", OBJECTS)
def test_each_object_that_the_page_names_is_there_and_in_the_reference(path):
    parts = path.split(".")
    depth = next(i for i, part in enumerate(parts) if part[0].isupper() or i == len(parts) - 1)
    found = importlib.import_module(".".join(parts[:depth]))
    for name in parts[depth:]:
        found = getattr(found, name)
    assert found.__doc__
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    assert f"automodule:: {'.'.join(parts[:depth])}\n" in reference


def test_the_page_names_tests_and_objects():
    assert len(TESTS) > 30 and len(OBJECTS) > 30


def spectra(step, n):
    """S_cc, S_dc and S_dd of a critical field on a ring of n sites, for each Fourier mode of the coarse ring."""
    k = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
    spectrum = (k.square() + 0.1).pow(-0.875)
    unit = torch.eye(n, dtype=torch.float64)
    covariance = torch.fft.ifft(torch.fft.fft(unit) * spectrum).real
    whole = step.dense((n,)) @ covariance @ step.dense((n,)).T
    m = n // 2
    wave = torch.fft.fft(torch.eye(m, dtype=torch.float64), norm="ortho")

    def modes(block):
        made = wave.conj() @ block.to(wave) @ wave
        assert float((made - torch.diag(made.diagonal())).abs().max()) < 1e-9 * float(whole.abs().max())
        return made.diagonal()

    return modes(whole[:m, :m]).real, modes(whole[m:, :m]), modes(whole[m:, m:]).real, whole


@pytest.mark.parametrize("step", [BlockSpin(2), Wavelet("db2"), MomentumShell(2)], ids=str)
def test_what_a_deterministic_way_back_loses_of_each_band(step):
    n = 32
    cc, dc, dd, whole = spectra(step, n)
    coarse = torch.randn(3, 1, n // 2, dtype=torch.float64)
    assert float(step.split(step.refine(coarse))[1].abs().max()) < 1e-12  # R^T leaves no detail at all

    known = whole[n // 2 :, : n // 2] @ torch.linalg.inv(whole[: n // 2, : n // 2])  # G
    mean = known @ whole[: n // 2, : n // 2] @ known.T  # the covariance of E[detail | coarse]
    torch.testing.assert_close(mean.trace(), (dc.abs().square() / cc).sum())
    lost = dd - dc.abs().square() / cc
    rest = whole[n // 2 :, n // 2 :] - mean  # what a lift draws
    torch.testing.assert_close(torch.linalg.eigvalsh(rest), lost.sort().values, rtol=1e-8, atol=1e-8)
    assert bool((lost > 0).all())
    if isinstance(step, MomentumShell):
        torch.testing.assert_close(lost, dd)
    else:
        assert float((lost / dd).min()) < 0.9
