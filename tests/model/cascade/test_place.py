"""Areas of cells and companions: what is known of the place of a field is heeded at every level, and exactly."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from test_gaps import smooth, with_gaps

from rgdm.errors import InputError, RangeWarning
from rgdm.evaluate.scores import fair_crps
from rgdm.model.cascade.calibrate import calibrate, calibrate_free
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.geometry import trajectory
from rgdm.model.cascade.place import known_at_coarsest
from rgdm.model.lifts.setting import Setting
from rgdm.scale.operators.block import BlockSpin
from rgdm.train import Turns, hold_back
from rgdm.train.batches import Batches
from small import cascade, check_learning

AREAS = torch.linspace(0.2, 1.7, 32, dtype=torch.float64).reshape(1, 1, 32, 1).expand(1, 1, 32, 48)


def beside(model: Cascade, companions: int) -> Cascade:
    return Cascade(model.design, model.grid, model.channels, companions=companions)


def over_mountains(count: int = 24, height: float = 1.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth fields less a share of static mountains, which have detail at all scales; and the mountains."""
    mountains = torch.randn(1, 1, 32, 48, dtype=torch.float64).cumsum(2)
    return smooth(count, (32, 48)) - height * mountains, 1000 + 300 * mountains


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("factor", [2, 3])
def test_means_that_areas_weigh_are_kept_exactly(gaps, factor):
    if gaps and factor == 3:
        pytest.skip("sites may be missing in blocks of two")
    sides = (32, 48) if factor == 2 else (27, 36)
    x, areas = smooth(6, sides), AREAS[..., : sides[0], : sides[1]]
    x = with_gaps(x) if gaps else x
    model = cascade(factor=factor)
    model.fit(Fields(x, Setting(areas)))
    coarse = model.trajectory(x, areas=areas)[-1]
    b = factor**2
    blocks = (areas * x.isfinite()).unfold(2, b, b).unfold(3, b, b)
    values = (areas * x.nan_to_num(0.0)).unfold(2, b, b).unfold(3, b, b)
    by_hand = values.sum((-1, -2)) / blocks.sum((-1, -2))
    torch.testing.assert_close(coarse, by_hand, rtol=1e-13, atol=0, equal_nan=True)
    mask = x.isfinite().double() if gaps else None
    for fine in model.refine(coarse, members=2, areas=areas, mask=mask):
        again = model.trajectory(fine, areas=areas)[-1]
        assert float((again - coarse).abs().nan_to_num(0.0).max()) < 1e-12 * float(x.nan_to_num(15.0).std())
        assert torch.equal(fine.isnan(), x.isnan())
        alike = trajectory(model.operator, fine.nan_to_num(15.0), 2)[-1]
        assert float((alike - coarse).abs().nan_to_num(0.0).max()) > 1e-4  # means of equal cells are others


def test_equal_areas_change_nothing():
    x = smooth(6, (32, 48))
    plain, weighed = cascade(), cascade()
    weighed.load_state_dict(plain.state_dict())
    plain.fit(x)
    weighed.fit(Fields(x, Setting(torch.full_like(x[:1], 7.0))))
    for (name, one), other in zip(plain.named_buffers(), dict(weighed.named_buffers()).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=name)
    coarse = plain.trajectory(x)[-1]
    torch.testing.assert_close(
        weighed.refine(coarse, areas=torch.full_like(x[:1], 3.0)), plain.refine(coarse), rtol=0, atol=1e-4
    )


def test_areas_are_found_by_latitude_where_the_model_was_trained_so(capsys):
    lat = np.arange(-77.5, 80, 5)
    x = smooth(6, (32, 48))
    field = xr.DataArray(
        x[:, 0].numpy(), dims=("time", "lat", "lon"), coords={"lat": ("lat", lat, {"units": "degrees_north"})}
    )
    weights = np.cos(np.deg2rad(field.lat))
    blocks = {"lat": 4, "lon": 4}
    coarse = (field * weights).coarsen(blocks).sum() / (weights * xr.ones_like(field)).coarsen(blocks).sum()
    coarse["lat"].attrs = field["lat"].attrs
    model = cascade()
    model.fit(field)
    model.metadata["areas"] = "latitude"
    fine = model.refine(coarse)[0]
    again = (fine * weights).coarsen(blocks).sum() / (weights * xr.ones_like(fine)).coarsen(blocks).sum()
    np.testing.assert_allclose(again, coarse, rtol=0, atol=1e-12)
    del model.metadata["areas"]
    plain = model.refine(coarse)[0]
    np.testing.assert_allclose(plain.coarsen(blocks).mean(), coarse, rtol=0, atol=1e-12)
    model.metadata["areas"] = "latitude"
    unknown = model.refine(coarse.drop_vars("lat"))[0]
    assert "nothing is known of latitudes here: cells count alike" in capsys.readouterr().err
    np.testing.assert_allclose(unknown.coarsen(blocks).mean().values, coarse, rtol=0, atol=1e-12)
    model.metadata["areas"] = "given"
    with pytest.raises(InputError, match="give those of the fine cells"):
        model.refine(coarse)


def test_the_likelihood_of_fields_on_cells_of_unequal_areas_is_that_of_their_own_split():
    """The volume of the split is 1: the density is right if it integrates to 1, seen in its change with the areas."""
    x = smooth(12, (16, 24))
    model = cascade()
    areas = AREAS[..., :16, :24]
    model.fit(Fields(x, Setting(areas)))
    on = BlockSpin(2).on(areas)
    coarse, detail = on.split(model.normalise(x))
    direct = model.own_lift(0).log_prob(on.merge(coarse, detail), networks=False, setting=Setting(areas)).value
    own = model.log_prob(x, networks=False, levels=1, place=Setting(areas))
    torch.testing.assert_close(own.parts[0].value, direct)
    other = model.log_prob(x, networks=False, levels=1)
    assert not torch.allclose(other.parts[0].value, direct, rtol=1e-3)


def test_what_lies_under_a_field_predicts_its_detail():
    """Temperature falls with height: mountains explain the detail that they make, also where they are unlike before."""
    x, mountains = over_mountains()
    alone = cascade()
    alone.fit(x)
    told = beside(alone, 1)
    told.fit(Fields(x, Setting(companions=mountains)))
    y, others = over_mountains(4)
    truth, coarse = y, alone.trajectory(y)[-1]
    errors = []
    for model, static in ((alone, None), (told, others[0])):
        mean = model.refine(coarse, members=16, static=static).mean(0)
        errors.append(float((mean - truth).square().mean().sqrt()))
    assert errors[1] < 0.2 * errors[0]
    wrong = told.refine(coarse, members=16, static=mountains[0]).mean(0)
    assert float((wrong - truth).square().mean().sqrt()) > errors[0]  # those of another place
    with pytest.warns(RangeWarning, match=r"companion 0 is unlike .* the farthest by .* standard deviations"):
        far = told.refine(coarse, static=1000 * others[0])
    assert float(far.std()) < 3 * float(truth.std())  # cut to what it said in the training
    again = told.trajectory(told.refine(coarse, static=others[0])[0])[-1]
    torch.testing.assert_close(again, coarse, rtol=1e-13, atol=0)


def test_what_only_informs_is_the_same_whatever_the_scale_that_it_comes_from():
    fine = smooth(3, (32, 48), 2)
    seen = [known_at_coarsest(fine, (2, 2), 0, 3, ("reflect", "periodic"))]
    for level in (1, 2, 3):
        coarse = BlockSpin(2)
        x = trajectory(coarse, fine, level)[-1]
        seen.append(known_at_coarsest(x, (2, 2), level, 3, ("reflect", "periodic"))[..., :: 2**level, :: 2**level])
        assert x.shape[-1] == 48 // 2**level
        whole = known_at_coarsest(x, (2, 2), level, 3, ("reflect", "periodic"))
        torch.testing.assert_close(whole, seen[0], rtol=0, atol=1e-12)
    with pytest.raises(InputError, match=r"36 sites along an axis, which blocks of 8 do not fill"):
        known_at_coarsest(fine[..., :36], (2, 2), 0, 3, "reflect")


def test_companions_and_areas_are_cut_like_the_fields():
    """Values that say where they are, in batches, parts that are kept back, and tiles of a calibration."""
    x = torch.arange(3 * 64 * 96, dtype=torch.float64).reshape(3, 1, 64, 96)
    fields = Fields(x, Setting(x[:1] + 1, x[:1].repeat(1, 2, 1, 1)))
    model = beside(cascade(levels=1), 2)
    for mirror in (True, False):
        batch = Batches(model, fields, 0, Turns(mirror, mirror)).of_level(0, torch.Generator().manual_seed(1))
        weights, companions = batch.setting.weights, batch.setting.companions
        assert weights is not None and companions is not None and companions.shape[1] == 2
        assert torch.equal(batch.fine % (64 * 96) + 1, weights)
        assert torch.equal(companions[:, :1], weights - 1)
        assert torch.equal(batch.part(slice(1, 3)).setting.weights, weights[1:3])
    parts = hold_back(Fields(x[:1], fields.place), model.grid, 1, False)
    assert parts.held_out is not None
    for part in (parts.training, parts.held_out):
        assert part.place.weights is not None and torch.equal(part.place.weights, part.values + 1)


def test_training_and_calibration_know_areas_and_companions(monkeypatch):
    x, mountains = over_mountains(16)
    model = beside(cascade(), 1)
    fields = Fields(with_gaps(x, 0.1), Setting(AREAS, mountains))
    model.fit(fields)
    check_learning(model, fields, monkeypatch)
    assert bool((calibrate_free(model, fields) == 1).all())


def test_companions_of_xarray_are_found_by_name_and_converted(tmp_path, capsys):
    x, mountains = over_mountains(16)
    model = beside(cascade(), 2)
    informing = smooth(16, (32, 48))
    seen = known_at_coarsest(informing, model.grid.factors, 0, 2, model.grid.boundaries)
    model.fit(Fields(x, Setting(companions=torch.cat([mountains.expand(16, -1, -1, -1), seen], 1))))
    model.metadata["companions"] = [
        {"name": "z", "units": "m", "standard_name": "surface_altitude", "kind": "static", "file": "oro.nc"},
        {"name": "msl", "units": "Pa", "kind": "given"},
    ]
    model.save_pretrained(tmp_path)
    model = Cascade.from_pretrained(tmp_path)
    lat, lon = np.arange(32) * 2.0, np.arange(48) * 3.0
    fine = {"lat": lat, "lon": lon}
    coarse_coords = {"lat": lat.reshape(-1, 4).mean(1), "lon": lon.reshape(-1, 4).mean(1)}
    coarse = xr.DataArray(
        model.trajectory(x)[-1][:2, 0].numpy(), dims=("time", "lat", "lon"), coords={"time": [0, 1], **coarse_coords}
    )
    z = xr.DataArray(mountains[0, 0].numpy(), dims=("lat", "lon"), coords=fine, attrs={"units": "m"})
    msl = coarse.copy(data=model.trajectory(informing)[-1][:2, 0].numpy()).assign_attrs(units="Pa")
    given = xr.Dataset({"msl": msl, "other": msl + 1})
    made = model.refine(coarse, static=xr.Dataset({"z": z, "lsm": z > 1000}), given=given)
    by_hand = Setting(companions=torch.cat([mountains.expand(2, -1, -1, -1), seen[:2]], 1))
    np.testing.assert_allclose(made, model.refine(coarse, place=by_hand), rtol=0, atol=1e-5)
    together = given.assign({"t": coarse})
    model.metadata["channels"] = ["t"]
    np.testing.assert_allclose(model.refine(together, static=z.rename("z"))["t"], made, rtol=0, atol=1e-5)
    km = (z / 1000).assign_attrs(units="km", standard_name="surface_altitude").rename("height")
    turned = km.isel(lat=slice(None, None, -1)).transpose("lon", "lat")
    in_hpa = xr.Dataset({"msl": (msl / 100).assign_attrs(units="hPa")})
    np.testing.assert_allclose(model.refine(coarse, static=turned, given=in_hpa), made, rtol=0, atol=1e-4)
    holed = model.refine(coarse, static=z.rename("z").where(z > 900), given=given)
    assert bool(np.isfinite(holed).all()) and "filled from the nearest" in capsys.readouterr().err
    for wrong, said in (
        ({"given": given}, r"trained beside z; give static=, as oro.nc was"),
        ({"static": z.rename("z")}, r"trained beside msl; give given="),
        ({"static": z.rename("lsm"), "given": given}, "the companion z is missing; there are lsm"),
        ({"static": z.rename("z").assign_attrs(units="K"), "given": given}, "K"),
        ({"static": z.rename("z").assign_coords(lat=lat + 30), "given": given}, "companion z .* the same place"),
        ({"static": z.rename("z").drop_vars("lon").isel(lon=slice(24)), "given": given}, r"z has .* \(32, 24\)"),
    ):
        with pytest.raises(InputError, match=said):
            model.refine(coarse, **wrong)


def test_fields_from_nothing_have_no_companions():
    x, mountains = over_mountains(16)
    model = beside(cascade(), 1)
    with pytest.raises(InputError, match="0 companions are given; this model knows 1"):
        model.fit(x)
    model.fit(Fields(x, Setting(companions=mountains)))
    with pytest.raises(InputError, match="which fields from nothing have not; refine with it"):
        model.sample((32, 48))
    with pytest.raises(InputError, match="cannot be enlarged"):
        model.enlarged(1, 2.0, 1)
    with pytest.raises(InputError, match="knows no companions"):
        cascade().refine(x, static=mountains[0])
    with pytest.raises(InputError, match="leave mask=, areas=, static= and given= away"):
        model.refine(x[..., ::4, ::4], static=mountains[0], place=Setting(companions=mountains))
    with pytest.raises(InputError, match="not finite"):
        Fields(x, Setting(companions=torch.full_like(mountains, math.nan)))
    with pytest.raises(InputError, match="do not fit 16 fields"):
        Fields(x, Setting(companions=mountains[..., :16]))
    with pytest.raises(InputError, match="a companion is constant"):
        beside(cascade(), 1).fit(Fields(x, Setting(companions=torch.ones_like(mountains))))


def test_shares_of_rain_follow_mountains_where_they_did_in_the_training():
    """More falls on the higher half of a block; mass and zeros stay, and mountains elsewhere change nothing."""
    generator = torch.Generator().manual_seed(5)

    def rough(count: int, smooth: int) -> torch.Tensor:
        x = torch.randn(count, 1, 48, 48, dtype=torch.float64, generator=generator)
        for _ in range(smooth):
            x = x + x.roll(1, 2) + x.roll(1, 3) + x.roll((1, 1), (2, 3))
        return x / x.std()

    mountains, elsewhere, falling = rough(1, 1), rough(1, 1), rough(24, 8)
    x = (1.2 * falling).exp() * (falling > 0) * (0.8 * mountains).exp()
    truth, scores = x[16:], []
    for companion in (None, mountains, elsewhere):
        model = cascade(levels=1, positive=True, boundary="periodic")
        model = model if companion is None else beside(model, 1)
        model.fit(Fields(x[:16], Setting(companions=companion)))
        coarse = model.trajectory(truth)[-1]
        made = model.refine(coarse, members=8, static=None if companion is None else companion[0])
        assert float(made.min()) == 0
        again = model.trajectory(made.flatten(0, 1))[-1].unflatten(0, (8, 8))
        torch.testing.assert_close(again, coarse.expand_as(again), rtol=1e-13, atol=0)
        assert float((made == 0).double().mean()) == pytest.approx(float((truth == 0).double().mean()), abs=0.03)
        scores.append(float(fair_crps(made, truth).mean()))
    assert scores[1] < 0.9 * scores[0] and abs(scores[2] / scores[0] - 1) < 0.015


def test_temperatures_weigh_places_by_their_areas():
    """Detail is twice as strong in the south, where cells are nine times as large, and the model does not know it."""
    torch.manual_seed(0)
    x, areas = torch.randn(64, 1, 32, 16), torch.ones(1, 1, 32, 16)
    x[:, :, 16:], areas[:, :, 16:] = 2 * x[:, :, 16:], 9.0
    model = cascade(levels=1, boundary="reflect", width=4, bend=0.0)
    model.fit(torch.randn(64, 1, 32, 16))
    model.units.fit(torch.randn(64, 1, 32, 16))
    for weights, squares in ((None, (1 + 4) / 2), (areas, (1 + 9 * 4) / 10)):
        found = float(calibrate(model, Fields(x, Setting(weights)))[0])
        assert found == pytest.approx(squares**0.5, rel=0.1)
