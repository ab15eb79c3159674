"""Images as fields: folders of them, their bands and frames, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rgdm.data.fields import read_field


@pytest.fixture
def pictures(tmp_path) -> Path:
    image = pytest.importorskip("PIL.Image")
    values = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, one in enumerate(values):
        image.fromarray(one).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_images_has_red_green_and_blue_channels(pictures):
    from PIL import Image

    field = read_field([pictures])
    assert field.shape == (2, 3, 4, 6) and list(field.channel.values) == ["r", "g", "b"]
    np.testing.assert_array_equal(field[1].transpose("y", "x", "channel"), np.asarray(Image.open(pictures / "1.png")))
    np.testing.assert_array_equal(read_field([pictures / "1.png"], "g")[0, 0], field[1, 1])


@pytest.mark.parametrize(("dtype", "name"), [("uint8", "grey.png"), ("uint16", "deep.png"), ("float32", "heights.tif")])
def test_single_band_images_keep_their_numbers(dtype, name, tmp_path):
    image = pytest.importorskip("PIL.Image")
    values = np.array([[1, 2, 3], [200, 201, 250]], dtype=dtype) * (200 if dtype == "uint16" else 1)
    image.fromarray(values.astype(dtype)).save(tmp_path / name)
    field = read_field([tmp_path / name])
    assert field.shape == (1, 1, 2, 3)
    np.testing.assert_array_equal(field[0, 0], values)


def test_frames_of_one_image_become_samples(tmp_path):
    image = pytest.importorskip("PIL.Image")
    frames = [image.fromarray(np.full((2, 3), i, dtype=np.uint8)) for i in range(3)]
    frames[0].save(tmp_path / "film.tif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_field([tmp_path / "film.tif"])[:, 0, 0, 0], [0, 1, 2])


def test_images_of_different_sizes_are_refused(pictures):
    from PIL import Image

    Image.new("RGB", (5, 5)).save(pictures / "2.png")
    with pytest.raises(ValueError, match=r"2.png has 5 x 5 pixels .* 6 x 4 pixels .*must agree"):
        read_field([pictures])


def test_a_truncated_image_is_named(pictures):
    path = pictures / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cannot read the image .*1.png"):
        read_field([pictures])


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        read_field([tmp_path])


def test_images_are_refused_where_the_dimension_is_not_two(pictures):
    with pytest.raises(ValueError, match="2 dimensions; the model needs 1"):
        read_field([pictures], dimension=1)


def test_without_pillow_the_message_says_what_to_install(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match=r"pip install 'rgdm\[images\]'"):
        read_field([pictures])
