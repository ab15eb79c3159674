"""Every combination of standardizer and law is a lift; the features of a context are what the condition says."""

import pytest
import torch

from lift_examples import randomise, red
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.laws.flow import Flow, coupling_layers
from rgdm.model.laws.law import WhiteNoise
from rgdm.model.laws.likelihood import Tracing
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import Setting
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import UNBOUNDED, LocalStandardizer
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.scale.operators.block import BlockSpin
from small import lifted

pytestmark = pytest.mark.usefixtures("float64")

LAWS = {
    "white noise": lambda features: WhiteNoise(),
    "diffusion": lambda features: Diffusion(LocalConvNet(2, features, 1, "reflect", 4, 1, 1)),
    "flow": lambda features: Flow(coupling_layers(2, features, 1, "reflect", 4, 1)),
}


@pytest.mark.integration
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("amplitude", [True, False])
@pytest.mark.parametrize("bend", [0.0, 0.3])
@pytest.mark.parametrize("coloured", [True, False])
def test_every_combination_is_a_lift_whose_split_and_coordinates_are_exact(law, amplitude, bend, coloured):
    operator, fine = BlockSpin(2), red(24, (16,), channels=2)
    fine = fine + 0.1 * fine**3
    standardizer = LocalStandardizer(operator, 2, 1, "reflect", amplitude, bend, coloured)
    condition = Condition(operator, 2, 1) if amplitude else None
    made = LAWS[law](0 if condition is None else condition.count)
    lift = StandardizedLift(operator, standardizer, randomise(made), condition)
    lift.fit(fine)
    standardizer.limit.fill_(torch.inf)
    standardizer.largest.fill_(UNBOUNDED)
    context, detail = Context.of(fine, operator)
    z, _ = standardizer.invert(context, detail)
    torch.testing.assert_close(standardizer.restore(context, z), detail)
    sample = lifted(lift, context.coarse, torch.randn_like(detail), AdamsBashforth(2))
    torch.testing.assert_close(operator.coarsen(sample), context.coarse, rtol=0, atol=1e-12)
    assert sample.std() > 0.1 * fine.std()
    assert bool(lift.log_prob(sample, Tracing(tolerance=1e-3)).value.isfinite().all())
    assert bool(lift.loss(fine, torch.rand(24), torch.randn_like(detail)).isfinite().all())


def test_features_need_the_local_amplitude_whose_unit_they_have():
    standardizer = LocalStandardizer(BlockSpin(2), 1, 1, "reflect", local_amplitude=False)
    with pytest.raises(ValueError, match=r"in units of the local amplitude.*local_amplitude=True, or no condition"):
        StandardizedLift(BlockSpin(2), standardizer, WhiteNoise(), Condition(BlockSpin(2), 1, 1))


def test_companions_are_features_in_their_coarse_part_and_their_detail():
    operator, fine, companions = BlockSpin(2), red(8, (16, 16)), 5 + 3 * torch.randn(8, 2, 16, 16)
    standardizer = LocalStandardizer(operator, 1, 2, "periodic")
    plain, told = Condition(operator, 1, 2, level=3), Condition(operator, 1, 2, level=3, companions=2)
    assert told.count == plain.count + 2 * (1 + 3)
    context, detail = Context.of(fine, operator, Setting(companions=companions))
    context = context.known(operator, "periodic")
    standardizer.fit(context, detail)
    for condition in (plain, told):
        condition.fit(Context(context.coarse) if condition is plain else context, standardizer)
    features = told(context, standardizer)
    assert features.shape == (8, told.count, 8, 8) and bool((features[:, -1] == 3).all())
    torch.testing.assert_close(features[:, : plain.count - 1], plain(Context(context.coarse), standardizer)[:, :-1])
    shown = torch.cat(operator.split(companions), 1)
    axes = (0, 2, 3)
    unit = (shown - shown.mean(axes, keepdim=True)) / shown.std(axes, keepdim=True)
    torch.testing.assert_close(features[:, plain.count - 1 : -1], unit)


def test_a_context_is_coarse_grained_like_the_field_that_it_belongs_to():
    operator, fine, companions = BlockSpin(2), torch.randn(2, 1, 16, 8), torch.randn(2, 3, 16, 8)
    context = Context.of(fine, operator, Setting(companions=companions))[0].coarsen(operator)
    torch.testing.assert_close(context.coarse, operator.coarsen(operator.coarsen(fine)))
    torch.testing.assert_close(context.setting.companions, operator.coarsen(companions))
    next_one = Context.of(operator.coarsen(fine), operator, Setting(companions=operator.coarsen(companions)))[0]
    assert torch.equal(next_one.coarse, context.coarse) and torch.equal(
        next_one.setting.companions, context.setting.companions
    )
    assert Context(fine).coarsen(operator).setting.companions is None
