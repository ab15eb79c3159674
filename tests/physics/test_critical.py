"""Critical couplings on record."""

import math

import pytest

from rgdm.physics.actions import Ising, IsingDual, Phi4
from rgdm.physics.critical import RECORD, critical_point


def test_the_exact_ones_are_exact():
    k = Ising.critical().coupling
    assert math.sinh(2 * k) == pytest.approx(1, abs=1e-15) and critical_point("ising").error == 0
    assert IsingDual.critical().coupling == k
    strengths = (1.0, 0.3)
    k = Ising.critical(anisotropy=strengths).coupling
    assert math.sinh(2 * k) * math.sinh(0.6 * k) == pytest.approx(1, abs=1e-12)
    assert Ising.critical(anisotropy=(2.0, 2.0 + 1e-9)).coupling == pytest.approx(Ising.critical().coupling / 2)
    k = Ising.critical(anisotropy=(1e-6, 1.0)).coupling  # a line that is weakly bound to others
    assert math.sinh(2 * k) * math.sinh(2e-6 * k) == pytest.approx(1, abs=1e-9) and k > 5


def test_equal_bonds_of_any_strength_are_one_coupling():
    assert Ising.critical(anisotropy=(2.0, 2.0)).coupling == Ising.critical().coupling / 2
    point = critical_point("phi4", 2, 1.0, (0.5, 0.5))
    assert point.coupling == 2 * 0.680605 and point.error == 8e-6


def test_the_others_have_an_error_and_a_source():
    assert Ising.critical(3).coupling == 0.221654626 and critical_point("ising", 3).error == 5e-9
    assert Phi4.critical() == Phi4.from_beta(0.680605, 1.0)
    for point in RECORD:
        assert point.source and 0 <= point.error < 1e-4 * point.coupling
        again = critical_point(point.model, point.dimension, point.quartic)
        assert again == point


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("ising", 1), "no critical coupling of ising in 1"),
        (
            ("phi4", 2, 0.123),
            r"at lambda = 0.123 is on record; give one, or take .*phi4 in 2 dimensions at lambda = 1",
        ),
        (("phi4", 3, 1.0), "no critical coupling of phi4 in 3"),
        (("phi4", 2, 1.0, (1.0, 0.5)), r"with bonds of strengths \(1.0, 0.5\)"),
        (("ising", 3, None, (1.0, 0.5, 1.0)), "with bonds of strengths"),
        (("ising", 2, None, (1.0, -0.5)), "with bonds of strengths"),
        (("ising", 2, None, (-1.0, -1.0)), "with bonds of strengths"),
        (("ising", 2, None, (0.0, 1.0)), "with bonds of strengths"),
        (("ising", 2, None, (1.0, 2.0, 3.0)), r"bonds of strengths \(1.0, 2.0, 3.0\) on 2 axes"),
        (("ising", 2, None, (1.0, math.nan)), "one finite number for each"),
        (("phi4", 2, math.nan), "at lambda = nan is on record"),
    ],
)
def test_what_is_not_known_is_said_with_what_is(asked, words):
    with pytest.raises(ValueError, match=words):
        critical_point(*asked)
