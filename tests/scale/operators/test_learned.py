"""Learned coarse-grainings: what they must keep while they learn, and that they do learn."""

import math
from functools import partialmethod

import pytest
import torch

from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.learned import Learned, LearnedWavelet, Lifting, code_length, sparsity
from rgdm.scale.operators.wavelets import Wavelet
from small import cascade


def ramps(count, side, seed=0):
    """Fields of straight and bent pieces, with jumps: not Gaussian, sparse in good wavelets."""
    random = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, 1, side)
    made = torch.zeros(count, 1, side, side)
    for _ in range(6):
        a, b, c, d = torch.randn(4, count, 1, 1, 1, generator=random).unbind(0)
        phase = a * x[:, None] + b * x + c
        made = made + torch.where(phase > 0, d * phase.square(), 0.0)
    return made + 0.001 * torch.randn(made.shape, generator=random)


def stirred(lifting, seed=0):
    random = torch.Generator().manual_seed(seed)
    for network in (lifting.predict, lifting.update):
        if network is not None:
            with torch.no_grad():
                network.second.copy_(0.2 * torch.randn(network.second.shape, generator=random))
    return lifting


@pytest.mark.parametrize("taps", [4, 6, 8])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_it_starts_as_the_named_wavelet(taps, boundary):
    x = torch.randn(2, 2, 16, 24, dtype=torch.float64)
    coarse, detail = LearnedWavelet(taps, boundary).split(x)
    known, other = Wavelet(f"db{taps // 2}", boundary).split(x)
    torch.testing.assert_close(coarse, known, atol=1e-5, rtol=0)
    torch.testing.assert_close(detail.abs(), other.abs(), atol=1e-5, rtol=0)


@pytest.mark.integration
def test_learning_shortens_the_code_of_fields_not_seen_and_stays_orthonormal():
    torch.manual_seed(0)
    fields, held_out = ramps(64, 32), ramps(64, 32, seed=1)
    step, start = LearnedWavelet(8, "reflect"), Wavelet("db4", "reflect")
    history = step.learn(fields, 2, steps=150)
    with torch.no_grad():
        assert float(code_length(step, held_out, 2)) < float(code_length(start, held_out, 2)) - 0.02
    assert history[-1] < history[0] and not any(p.requires_grad for p in step.parameters())
    coarse, detail = step.split(held_out)  # in single precision
    assert abs(float((coarse.square().sum() + detail.square().sum()) / held_out.square().sum()) - 1) < 1e-6
    matrix = step.matrix(32)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(32, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.integration
def test_white_noise_teaches_nothing():
    """Every orthonormal split of it is as short: the negative control."""
    noise, other = (torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    step = LearnedWavelet(8, "periodic")
    before = float(code_length(Wavelet("db4"), other, 2))
    step.learn(noise, 2, steps=50)
    with torch.no_grad():
        assert abs(float(code_length(step, other, 2)) - before) < 2e-3


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_lifting_is_undone_keeps_volumes_and_constants(update, dimension, boundary):
    lifting = stirred(Lifting(dimension, boundary, width=4, update=update)).double()
    x = torch.randn(2, 3, *(4, 6, 8)[:dimension], dtype=torch.float64)
    coarse, detail = lifting.split(x)
    torch.testing.assert_close(lifting.merge(coarse, detail), x, atol=1e-12, rtol=0)
    lifting.check_volume(dimension)
    with pytest.raises(ValueError, match="not orthonormal"):
        lifting.check_orthonormal(dimension)
    constant, nothing = lifting.split(torch.full_like(x, 3.0))
    torch.testing.assert_close(constant, torch.full_like(constant, 3 * lifting.gain(dimension)))
    assert float(nothing.detach().abs().max()) < 1e-12
    if not update:
        torch.testing.assert_close(coarse, BlockSpin(2).coarsen(x))
    doubled, _ = lifting.split(2 * x)
    torch.testing.assert_close(doubled, 2 * coarse)


def test_lifting_of_a_moved_field_is_the_moved_lifting():
    lifting = stirred(Lifting(2, "periodic")).double()
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    moved = lifting.split(x.roll((4, -2), (2, 3)))
    torch.testing.assert_close(moved, tuple(part.roll((2, -1), (2, 3)) for part in lifting.split(x)))


@pytest.mark.integration
def test_lifting_learns_to_predict():
    torch.manual_seed(0)
    fields, held_out = ramps(64, 32), ramps(64, 32, seed=1)
    lifting = Lifting(2, "reflect")
    before = float(code_length(BlockSpin(2), held_out, 2))
    lifting.learn(fields, 2, steps=150)
    with torch.no_grad():
        assert float(code_length(lifting, held_out, 2)) < before - 0.1


def test_code_length_is_the_entropy_of_gaussian_and_laplace_detail():
    noise = torch.randn(512, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    laplace = torch.distributions.Laplace(0, 1).icdf(torch.special.ndtr(noise[:, 1:]).clamp(1e-6, 1 - 1e-6))
    x = BlockSpin(2).merge(noise[:, :1], laplace)
    laplace_entropy, normal_entropy = 1 + math.log(2), math.log(2 * math.pi * math.e) / 2
    expected = (3 * laplace_entropy + normal_entropy) / 4
    assert float(code_length(BlockSpin(2), x, 1)) == pytest.approx(expected, abs=0.01)
    assert sparsity(noise) == pytest.approx(2 / math.pi, abs=0.01)
    assert sparsity(laplace) == pytest.approx(0.5, abs=0.01)


@pytest.mark.integration
@pytest.mark.parametrize("operator", ["learned-4", "lifting"])
def test_a_cascade_learns_its_operator_saves_it_and_has_a_density(operator, tmp_path, monkeypatch):
    monkeypatch.setattr(Learned, "learn", partialmethod(Learned.learn, steps=30))
    torch.manual_seed(0)
    model = cascade(1, 2, 2, "periodic", operator=operator, width=4, encoder_blocks=1, decoder_blocks=1)
    before = {name: p.clone() for name, p in model.operator.named_parameters()}
    fields = ramps(32, 16)
    model.fit(fields)
    assert all(not torch.equal(p, before[name]) for name, p in model.operator.named_parameters())
    model.eval().save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    made = again.sample((16, 16), 2, seed=1)
    assert torch.equal(made, model.sample((16, 16), 2, seed=1))
    found = again.log_prob(fields[:4], networks=False)
    assert bool(found.total.value.isfinite().all())
    coarse = again.trajectory(fields[:2])[-1]
    fine = again.refine(coarse, members=2, seed=0)
    for member in fine:
        torch.testing.assert_close(again.trajectory(member)[-1], coarse, atol=1e-4, rtol=0)


class Stretched(CoarseGraining):
    """Block spins whose detail is twice as large."""

    factor = 2

    def split(self, x):
        coarse, detail = BlockSpin(2).split(x)
        return coarse, 2 * detail

    def merge(self, coarse, detail):
        return BlockSpin(2).merge(coarse, detail / 2)


def test_a_split_that_stretches_volumes_is_found_out():
    with pytest.raises(ValueError, match=r"determinant exp\(33.3\)"):
        Stretched().check_volume(2)


def test_bad_input():
    with pytest.raises(ValueError, match="5 taps"):
        LearnedWavelet(5)
    with pytest.raises(ValueError, match="these lifting steps have 2"):
        Lifting(2).split(torch.ones(1, 1, 8))
    with pytest.raises(ValueError, match="lifting has 2"):
        cascade(operator="lifting", factor=4)
    with pytest.raises(ValueError, match="not finite"):
        LearnedWavelet(4).learn(torch.full((2, 1, 8, 8), torch.nan), 1, steps=2)
