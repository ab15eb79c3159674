"""Damaged models: whatever is changed in a saved one, it loads and samples, or one sentence says what is wrong."""

import copy
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lattice.autoregressive import AutoregressiveField
from rgdm.model.lattice.majority_inverse import MajorityInverse
from rgdm.physics.actions import Phi4
from small import cascade

pytestmark = pytest.mark.usefixtures("unchecked")

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    10**9,
    10**30,
    1e300,
    0.5,
    "",
    "x\0y",
    "9" * 999,
    [],
    [None],
    [[2]],
    {},
    {"a": 1},
]
"""What every value of a configuration is replaced by."""
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A tiny cascade with metadata of all kinds, repeated once."""
    torch.manual_seed(0)
    model = cascade(levels=2, width=2, encoder_blocks=1, decoder_blocks=1, evaluations=1)
    model.fit(torch.randn(4, 1, 16, 16).cumsum(2))
    model.metadata = {"name": "height", "channels": ["height"], "attrs": {"units": "m"}, "axes": ["y", "x"]}
    model.metadata["training"] = {"steps": 4, "loss": 0.9, "lattice": [16, 16]}
    folder = tmp_path_factory.mktemp("mutants") / "model"
    model.enlarged(1, 1.5, level=1).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of nested lists and dictionaries are."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(content: Any, path: tuple[Any, ...], value: Any = ...) -> Any:
    """A copy with another value at one place, or without it."""
    made = copy.deepcopy(content)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


def survives(folder: Path, kind: Any = Cascade) -> bool:
    """Whether the model loads and makes finite fields; else it was refused in one short line."""
    try:
        model = kind.from_pretrained(folder)
        made = model.sample((16, 16), 1, seed=0) if kind is Cascade else None
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 600, str(error)
        return False
    assert made is None or bool(made.isfinite().all())
    return True


def configured(folder: Path, text: str) -> bool:
    (folder / storage.CONFIG).write_text(text, encoding="utf-8", errors="surrogatepass")
    return survives(folder)


def test_a_configuration_in_which_any_one_value_is_another_is_refused_or_makes_fields(folder):
    content = json.loads((folder / storage.CONFIG).read_text())
    assert survives(folder)
    refused = 0
    for path in places(content):
        for value in [..., *VALUES]:
            refused += not configured(folder, json.dumps(changed(content, path, value)))
    assert refused > 500  # of about 600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        DEEP,
        '{"format": 4, "metadata": ' + DEEP + "}",
        '{"format": ' + "9" * 5000 + "}",
        '{"format": 1e999}',
        '{"format": NaN}',
        '{"format": true}',
        '{"format": 4, "format": 4}',
        " " * (storage.LARGEST + 1),
        "\ud800",
    ],
    ids=lambda text: text[:20] + str(len(text)),
)
def test_a_configuration_that_is_none_is_refused(folder, text):
    assert not configured(folder, text)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "1e999", '"\\ud800"', '{"a": 1, "a": 2}', "[" * 50 + "]" * 50])
def test_values_that_only_a_text_can_hold_are_refused_wherever_they_are(folder, bad):
    content = json.loads((folder / storage.CONFIG).read_text())
    for path in places(content):
        assert not configured(folder, json.dumps(changed(content, path, "HERE")).replace('"HERE"', bad)), path


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (lambda: MajorityInverse(1, 2), [("reach", 10**6), ("width", 10**9), ("width", "2"), ("reach", None)]),
        (
            lambda: AutoregressiveField((4, 4), width=2, reach=1, action=Phi4.critical()),
            [
                ("lattice", [2**20, 2**20]),
                ("lattice", [4, 4, 4]),
                ("lattice", 4),
                ("width", 10**9),
                ("reach", 10**9),
                ("values", ["spins"]),
                ("symmetric", "no"),
                ("action", {"name": "Phi4"}),
                ("action", [1]),
                ("action", {"name": []}),
            ],
        ),
    ],
    ids=["majority", "autoregressive"],
)
def test_lattice_models_of_other_settings_are_refused(tmp_path, build, settings):
    build().save_pretrained(tmp_path)
    kind = type(build())
    content = json.loads((tmp_path / storage.CONFIG).read_text())
    assert survives(tmp_path, kind)
    for name, value in settings:
        text = json.dumps(changed(content, ("configuration", name), value))
        (tmp_path / storage.CONFIG).write_text(text)
        assert not survives(tmp_path, kind), (name, value)


def test_a_byte_of_the_weights_that_has_changed_is_seen_wherever_it_is(folder):
    whole, chance = (folder / storage.WEIGHTS).read_bytes(), random.Random(0)
    for place in [0, 7, 8, 20, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(30))]:
        data = bytearray(whole)
        data[place] ^= 1 << chance.randrange(8)
        (folder / storage.WEIGHTS).write_bytes(data)
        assert not survives(folder)


def test_weights_of_another_model_are_refused_although_they_fit(folder):
    tensors = load_file(folder / storage.WEIGHTS)
    save_file({**tensors, "units.mean": tensors["units.mean"] + 1}, folder / storage.WEIGHTS)
    with pytest.raises(InputError, match=r"model.safetensors is damaged: its checksum is not the one in config.json"):
        Cascade.from_pretrained(folder)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e35])
def test_a_number_that_cannot_be_is_refused_though_its_checksum_is_right(folder, bad):
    tensors = load_file(folder / storage.WEIGHTS)
    configuration, metadata = storage.read_config(folder)
    for name in tensors:
        if (name.endswith("limit") and bad == math.inf) or (name.startswith("units") and math.isfinite(bad)):
            continue  # no limit; data of large numbers
        worse = {**tensors, name: tensors[name].clone()}
        worse[name].view(-1)[0] = bad
        storage.save(folder, configuration, metadata, worse)
        with pytest.raises(InputError, match=f"'{name}' has values|{name}' do not rise"):
            Cascade.from_pretrained(folder)


def test_fields_that_are_not_finite_are_never_given_back(folder):
    model = Cascade.from_pretrained(folder)
    with torch.no_grad():
        model.units.scale.fill_(1e308)
    with pytest.raises(InputError, match="that the model made are not finite"):
        model.sample((16, 16))
    with pytest.raises(InputError, match="that the model made are not finite"):
        model.refine(torch.randn(2, 2), members=2)


@pytest.mark.slow
def test_a_configuration_in_which_several_things_are_wrong_is_refused_or_makes_fields(folder):
    content, chance = json.loads((folder / storage.CONFIG).read_text()), random.Random(1)
    for _ in range(5000):
        made = content
        for _ in range(chance.randint(1, 4)):
            known = list(places(made))
            if known:
                made = changed(made, chance.choice(known), chance.choice([..., *VALUES]))
        configured(folder, json.dumps(made))


@pytest.mark.slow
def test_files_in_which_bytes_have_changed_are_refused_or_make_fields(folder):
    chance = random.Random(2)
    whole = {name: (folder / name).read_bytes() for name in (storage.CONFIG, storage.WEIGHTS)}
    for number in range(5000):
        name = chance.choice(list(whole))
        data = bytearray(whole[name])
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (folder / name).write_bytes(data[: chance.randrange(len(data))] if number % 10 == 0 else data)
        survives(folder)
        (folder / name).write_bytes(whole[name])
