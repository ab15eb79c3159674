import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from rgdm.data import reference
from rgdm.data.reference import phi4, terrain
from rgdm.physics.actions import Phi4
from rgdm.physics.observables import observables


@pytest.mark.parametrize(("part", "count", "bands"), [("train", 22, (160, 240)), ("held-out", 12, (240, 280))])
def test_the_two_parts_of_the_terrain_lie_in_bands_of_their_own(part, count, bands):
    tiles = terrain(part)
    assert tiles.shape == (count, 1, 240, 240) and tiles.dtype == np.float32
    assert (tiles.west >= bands[0]).all() and (tiles.west + 20 <= bands[1]).all()
    assert len(set(zip(tiles.south.values.tolist(), tiles.west.values.tolist(), strict=True))) == count
    assert (
        tiles.attrs["units"] == "m" and "ETOPO5" in tiles.attrs["source"] and tiles.attrs["licence"] == "public domain"
    )


def test_known_places_have_the_right_height():
    held_out, train = terrain("held-out"), terrain("train")

    def height(tiles, latitude: float, longitude: float) -> float:
        inside = (tiles.south <= latitude) & (latitude < tiles.south + 20)
        tile = tiles[inside & (tiles.west <= longitude) & (longitude < tiles.west + 20)][0, 0]
        south, west = float(tile.south), float(tile.west)
        return float(tile[round((latitude - south) * 12), round((longitude - west) * 12)])

    assert 1200 < height(held_out, 39.75, 255.0) < 2200  # Denver
    assert 2500 < height(train, 19.5, 204.25) < 4200  # Mauna Loa
    assert height(train, 0.0, 200.0) < -4000  # the central Pacific
    assert float(train.min()) > -11000 and float(train.max()) < 5000


@pytest.mark.parametrize("part", ["train", "held-out"])
def test_neighbours_differ_little_so_the_tiles_are_decoded_without_slips(part):
    tiles = terrain(part).values
    for axis in (2, 3):
        assert np.abs(np.diff(tiles, axis=axis)).mean() < 80


def test_tiles_are_restored_exactly_up_to_the_ends_of_int16():
    path = Path(reference.__file__).parent / "terrain" / "make.py"
    spec = importlib.util.spec_from_file_location("make_terrain", path)
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    tiles = np.random.default_rng(0).integers(-(2**15), 2**15, (3, 8, 9)).astype(np.int16)
    np.testing.assert_array_equal(reference._decode(*make.encode(tiles)), tiles)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="'train' or 'held-out'"):
        terrain("test")


@pytest.mark.integration
def test_simulated_lattices_are_critical_and_reproducible():
    field = phi4(40, size=8, seed=1)
    assert field.shape == (40, 1, 8, 8) and field.dtype == np.float32
    np.testing.assert_array_equal(field, phi4(40, size=8, seed=1))
    assert not np.array_equal(field, phi4(40, size=8, seed=2))
    phi2, error = observables(torch.from_numpy(field.values), Phi4.critical())["phi2"]
    assert abs(phi2 - 0.845) < 5 * error
