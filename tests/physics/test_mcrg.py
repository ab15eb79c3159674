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


OMEGA, SIZE, Y_H = 2**-0.83, 1.41, 2.4818
"""Of the 3-D Ising model: omega = 0.83, d - 1 / nu, y_h (Ferrenberg, Xu & Landau 2018, Phys. Rev. E 97, 043301)."""


def three_dimensional(side: int, levels: int, error: float = 0.001) -> list[tuple[float, float]]:
    """What changes of scale of a cubic lattice say: below y_h at the spacing, above it where few blocks are left."""
    return [(Y_H - 0.025 * OMEGA**level + 0.06 * (side / 2 ** (level + 1)) ** -SIZE, error) for level in range(levels)]


def test_corrections_to_scaling_and_the_size_of_the_lattice_are_told_apart():
    limit = fixed_point_exponent({side: three_dimensional(side, 4) for side in (32, 64)}, OMEGA, SIZE)
    assert limit.value == pytest.approx(Y_H, abs=1e-9) and limit.misfit < 1e-9
    assert limit.scaling[0] == pytest.approx(-0.025, abs=1e-9) and limit.size[0] == pytest.approx(0.06, abs=1e-9)
    one = torch.tensor(three_dimensional(32, 4), dtype=torch.float64)[1:, 0]
    rows = torch.stack([torch.ones(3), 0.5 ** torch.arange(3)], 1).double()
    alone = torch.linalg.lstsq(rows, one[:, None]).solution[0, 0]  # the control: as if size were a correction
    assert float(alone) - Y_H > 0.01


def test_the_error_of_the_limit_is_what_noise_makes_of_it():
    exact = {side: torch.tensor(three_dimensional(side, 4), dtype=torch.float64)[:, 0] for side in (32, 64)}
    random, found = torch.Generator().manual_seed(0), []
    for _ in range(300):
        noisy = {n: (y + 0.001 * torch.randn(4, generator=random)).tolist() for n, y in exact.items()}
        found.append(fixed_point_exponent({n: [(y, 0.001) for y in ys] for n, ys in noisy.items()}, OMEGA, SIZE))
    spread = float(torch.tensor([limit.value for limit in found]).std())
    stated = float(torch.tensor([limit.error for limit in found]).mean())
    assert 0.9 < stated / spread < 1.5  # a misfit above 1 makes it larger, one below not smaller


def test_a_form_that_does_not_fit_has_a_larger_error():
    bent = {
        side: [(y + 0.02 * (-1) ** i, e) for i, (y, e) in enumerate(three_dimensional(side, 4))] for side in (32, 64)
    }
    straight = fixed_point_exponent({side: three_dimensional(side, 4) for side in (32, 64)}, OMEGA, SIZE)
    limit = fixed_point_exponent(bent, OMEGA, SIZE)
    assert limit.misfit > 20 and limit.error > 4 * straight.error


@pytest.mark.integration
def test_critical_spins_of_two_lattices_lead_to_the_exponent_of_onsager_and_yang(critical):
    small = sample_fields(Ising.critical(), 16, 400, 8000, seed=1, thermalization=60, interval=3)
    values = {32: field_exponent(critical, block_spins, 4), 16: field_exponent(small, block_spins, 3)}
    limit = fixed_point_exponent(values)
    assert abs(limit.value - 1.875) < 4 * limit.error and limit.error < 0.01


@pytest.mark.parametrize(
    ("exponents", "words"),
    [
        ({32: three_dimensional(32, 4)}, "two sides"),
        ({32: three_dimensional(32, 4), 64: three_dimensional(64, 1)}, "two sides"),
        ({32: three_dimensional(32, 2), 64: three_dimensional(64, 2)}, "at least 3 values"),
        ({32: three_dimensional(32, 4, 0.0), 64: three_dimensional(64, 4)}, "positive, finite"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(exponents, words):
    with pytest.raises(ValueError, match=words):
        fixed_point_exponent(exponents)


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
