"""Monte Carlo RG: a Gaussian transformation in closed form, critical spins, and blockings by hand."""

import pytest
import torch

from rgdm.physics.actions import Ising
from rgdm.physics.blocking import block_spins
from rgdm.physics.interactions import Bond, Plaquette, Power
from rgdm.physics.mcrg import detail_growth, field_exponent, fixed_point_exponent, linearised_transformation, mcrg
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.scale.operators.block import BlockSpin


def test_blockings_by_hand():
    x = torch.tensor([[1.0, 1, -1, -1], [1, -1, -1, 1], [-1, 1, 1, 1], [1, -1, 1, 1]]).reshape(1, 1, 4, 4)
    assert block_spins(x).flatten().tolist() == [1, -1, -1, 1]  # the third is a tie, decided by its first spin
    assert block_spins(x, ties=torch.ones(1, 1, 2, 2)).flatten().tolist() == [1, -1, 1, 1]
    assert block_spins(x, "decimation").flatten().tolist() == [1, -1, -1, 1]
    assert block_spins(x, "mean").flatten().tolist() == [0.5, -0.5, 0, 1]
    assert block_spins(torch.ones(1, 1, 9), "majority", 3).shape == (1, 1, 3)


def test_a_linear_transformation_of_its_couplings_is_found():
    """Spins of a line without coupling under decimation: S' and S share half of their sites."""
    x = torch.randn(20000, 1, 16, dtype=torch.float64)
    exponents = linearised_transformation(x, x[..., ::2], [Power(2)], blocks=100)
    assert abs(float(exponents.matrix) - 1) < 0.1 and abs(float(exponents.value)) < 4 * float(exponents.error)


@pytest.fixture(scope="module")
def critical():
    return sample_fields(Ising.critical(), 32, 400, 6000, seed=0, thermalization=60, interval=3)


@pytest.mark.integration
def test_critical_spins_have_the_exponents_of_onsager_and_yang(critical):
    interactions = [Bond((0, 1)), Bond((1, 1)), Plaquette()]
    thermal = mcrg(critical, block_spins, interactions, 2)[1]
    assert abs(float(thermal.value[0]) - 1) < 0.05 and float(thermal.error[0]) < 0.03
    assert float(thermal.value[1]) < -0.5
    magnetic, error = field_exponent(critical, block_spins, 2)[1]
    assert abs(magnetic - 1.875) < 0.008 and error < 0.003


@pytest.mark.integration
def test_hot_spins_forget_their_field():
    hot = sample_fields(Ising(0.2), 32, 400, 2000, seed=0, thermalization=20, interval=3)
    assert field_exponent(hot, block_spins, 2)[1][0] < 1.3  # towards d / 2, that of noise


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda x: mcrg(x, block_spins, [Power(2)], 0), "levels is 0"),
        (lambda x: linearised_transformation(x, x, []), "no interactions"),
        (lambda x: linearised_transformation(x, x[:2], [Power(2)]), "each coarse one"),
        (lambda x: block_spins(x, factor=3), "not divisible by 3"),
        (lambda x: block_spins(x, "largest"), "unknown blocking 'largest'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_impossible_transformations_are_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask(torch.randn(4, 1, 8))


def test_an_exponent_that_comes_nearer_by_halves_is_carried_to_its_limit():
    exponents = [(1.875 - 0.2 / 2**level, 0.001) for level in range(4)]
    value, error = fixed_point_exponent(exponents)
    assert value == pytest.approx(1.875, abs=1e-12) and 0.001 < error < 0.003
    assert fixed_point_exponent(exponents[-2:])[1] > error  # fewer values, and the noise is carried farther
    random = torch.Generator().manual_seed(0)
    noisy = torch.tensor(exponents[1:], dtype=torch.float64)[:, 0] + 0.001 * torch.randn(400, 3, generator=random)
    spread = torch.tensor([fixed_point_exponent([(float(y), 0.001) for y in each])[0] for each in noisy]).std()
    assert float(spread) == pytest.approx(error, rel=0.15)
    with pytest.raises(ValueError, match="1 values"):
        fixed_point_exponent(exponents[:1])


@pytest.mark.integration
def test_the_growth_of_detail_is_free_of_finite_size():
    """A scale-free Gaussian field whose detail grows by ``2^(1 - eta / 2)``; from one lattice alone it seems less."""

    def field(count, side, seed):
        k = 2 * torch.pi * torch.fft.fftfreq(side)
        size = (k[:, None].square() + k.square()).sqrt()
        size[0, 0] = torch.inf
        noise = torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
        return torch.fft.ifft2(size ** ((0.25 - 2) / 2) * torch.fft.fft2(noise)).real

    small, large, step = field(3000, 16, 0), field(3000, 32, 1), BlockSpin(2)
    exponents = detail_growth(small, large, step, 4)
    for level, (value, error) in enumerate(exponents):  # near the cutoff the grid is felt
        assert abs(value - 2 ** (7 / 8)) < 4 * error + 0.2 / 2**level and error < 0.03
    x, sizes = large, []
    for _ in range(5):
        x, detail = step.split(x)
        sizes.append(float(detail.square().mean().sqrt()))
    assert sizes[4] / sizes[3] < 2 ** (7 / 8) - 0.15  # the zero mode is missing, as from any box
    with pytest.raises(ValueError, match="2 times as wide"):
        detail_growth(small, small, step, 1)
