import pytest
import torch
import torch.nn.functional as F

from rgdm.evaluate import baselines, bicubic, block_constant
from rgdm.evaluate.baselines import block_mean
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.wavelets import Wavelet


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", [(1,), (9,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_bicubic_has_exactly_the_block_means(lattice, factor, boundary):
    coarse = 1000 * torch.randn(2, 3, *lattice, dtype=torch.float64)
    fine = bicubic(coarse, factor, boundary)
    assert fine.shape[2:] == tuple(factor * n for n in lattice)
    assert (block_mean(fine, factor) - coarse).abs().max() / 1000 < 1e-12


def test_block_constant_has_the_value_of_its_block():
    coarse = torch.randn(1, 1, 2, 3)
    assert torch.equal(block_constant(coarse, 4)[..., 1::4, 3::4], coarse)
    assert torch.allclose(block_mean(block_constant(coarse, 4), 4), coarse)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_bicubic_reproduces_a_ramp_inside(factor):
    y, x = torch.meshgrid(*[torch.arange(8 * factor, dtype=torch.float64)] * 2, indexing="ij")
    ramp = (3 * x - 2 * y + 1)[None, None]
    inside = slice(2 * factor, -2 * factor)
    fine = bicubic(block_mean(ramp, factor), factor)
    assert torch.allclose(fine[..., inside, inside], ramp[..., inside, inside], atol=1e-10)


def test_with_torchs_kernel_the_interpolation_is_that_of_torch(monkeypatch):
    """torch has a = -3/4, which keeps no ramp; its edges differ too (it repeats the last site)."""
    keys = baselines._keys
    monkeypatch.setattr(baselines, "_keys", lambda distance: keys(distance, a=-0.75))
    x = torch.randn(2, 3, 9, dtype=torch.float64)
    theirs = F.interpolate(x[:, :, None], scale_factor=(1, 4), mode="bicubic", align_corners=False)[:, :, 0]
    assert torch.allclose(baselines._upsample(x, 4, "reflect", 1.5)[..., 6:-6], theirs[..., 6:-6])


def test_interpolation_is_exact_for_a_parabola_inside():
    parabola = torch.arange(12, dtype=torch.float64)[None, None] ** 2
    place = (torch.arange(24, dtype=torch.float64) + 0.5) / 2 - 0.5
    assert torch.allclose(baselines._upsample(parabola, 2, "reflect", 0.5)[0, 0, 4:-4], place[4:-4] ** 2)


def test_a_periodic_wave_is_continued_across_the_edge():
    phase = 2 * torch.pi * (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    fine = bicubic(torch.cos(phase)[None, None], 4, "periodic")
    shifted = bicubic(torch.cos(phase).roll(5)[None, None], 4, "periodic")
    assert torch.allclose(fine.roll(20, -1), shifted)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_what_belongs_to_the_first_site_of_a_block_stays_there_and_a_ramp_goes_through(boundary):
    coarse = torch.randn(2, 1, 6, 5, dtype=torch.float64)
    assert torch.allclose(bicubic(coarse, 4, boundary, (0.0, 0.0))[..., ::4, ::4], coarse)
    ramp = torch.arange(12.0, dtype=torch.float64)[None, None]
    assert torch.allclose(bicubic(ramp, 3, boundary, (0.0,))[0, 0, 6:-9], torch.arange(2.0, 9, 1 / 3).double())


OPERATORS = [BlockSpin(2), Decimation(2), *(Wavelet(name) for name in ("haar", "db2", "db4", "sym4"))]


@pytest.mark.parametrize("operator", OPERATORS)
def test_with_the_place_of_the_operator_a_smooth_field_comes_back_where_it_was(operator):
    phase = 2 * torch.pi * torch.arange(256, dtype=torch.float64) / 256
    x = (torch.cos(phase) + 0.5 * torch.sin(2 * phase))[None, None]
    coarse = x
    for _ in range(3):
        coarse = operator.coarsen(coarse) / operator.gain(1)
    fine = bicubic(coarse, 8, "periodic", operator.places(1, 3))
    assert float((fine - x).norm() / x.norm()) < 0.03
