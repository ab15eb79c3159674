"""Models on disk: what is loaded is what was saved, byte for byte, and nothing that is not a model is loaded."""

import errno
import json
import pickle
import stat
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from small import cascade

GOLDEN = Path(__file__).parents[2] / "golden"


def tiny(**options) -> Cascade:
    model = cascade(width=3, encoder_blocks=1, decoder_blocks=1, levels=2, **options)
    model.fit(torch.randn(4, model.channels, 16, 16))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.metadata = {"channels": ["height"], "attrs": {"units": "m"}}
    return model


@pytest.fixture
def folder(tmp_path):
    tiny().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# --- there and back ----------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("options", [{}, {"shared": False}, {"operator": "db2"}, {"channels": 3, "objective": "noise"}])
def test_a_loaded_model_makes_the_same_bits(tmp_path, options):
    model = tiny(**options)
    model.lift(0).temperature.fill_(1.07)
    model.save_pretrained(tmp_path / "model")
    loaded = Cascade.from_pretrained(tmp_path / "model")
    assert loaded.configuration == model.configuration and loaded.metadata == model.metadata
    assert not loaded.training
    assert torch.equal(loaded.sample((16, 24), 2, seed=1), model.eval().sample((16, 24), 2, seed=1))


@pytest.mark.integration
def test_a_shared_network_is_stored_once(tmp_path):
    tiny().save_pretrained(tmp_path / "one")
    tiny(shared=False).save_pretrained(tmp_path / "two")

    def networks(name: str) -> set[str]:
        with safe_open(tmp_path / name / storage.WEIGHTS, framework="pt") as stored:
            return {key.split(".")[1] for key in stored.keys() if "backbone" in key}  # noqa: SIM118

    assert networks("one") == {"0"}
    assert networks("two") == {"0", "1"}
    loaded = Cascade.from_pretrained(tmp_path / "one")
    assert loaded.lift(0).law.denoiser.backbone is loaded.lift(1).law.denoiser.backbone


def test_saving_again_writes_the_same_bytes_and_leaves_nothing_beside_them(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Cascade.from_pretrained(folder).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert set(before) == {storage.CONFIG, storage.WEIGHTS}


def test_files_have_the_permissions_that_the_user_gives_to_files(folder):
    (folder / "plain").write_text("")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 1


def test_the_golden_model_loads_saves_and_samples_as_it_always_did(tmp_path):
    model = Cascade.from_pretrained(GOLDEN / "model")
    model.save_pretrained(tmp_path)
    for name in (storage.CONFIG, storage.WEIGHTS):
        assert (tmp_path / name).read_bytes() == (GOLDEN / "model" / name).read_bytes()
    expected = torch.tensor(json.loads((GOLDEN / "sample.json").read_text()))
    torch.testing.assert_close(model.sample(tuple(expected.shape[2:]), seed=0), expected, rtol=1e-5, atol=1e-5)


# --- interruptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("writer", ["write_bytes", "write_text"])
def test_a_full_disk_leaves_the_old_model_whole(folder, monkeypatch, writer):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def half(path, data, **_):
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, writer, half)
    with pytest.raises(ValueError, match=r"the disk is full: .* are free"):
        Cascade.from_pretrained(folder).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("moment", range(4))
@pytest.mark.parametrize("channels", [1, 2])
def test_killed_at_any_moment_a_folder_holds_a_whole_model_or_is_refused(folder, monkeypatch, channels, moment):
    """Of the same configuration it is the old or the new one, whenever it was; of another it may be refused."""
    before = tiny()
    with torch.no_grad():
        before.base.spectrum.mul_(2)
    before.save_pretrained(folder)
    old, new, replace, done = states(before), tiny(channels=channels), Path.replace, []

    def killed(path, target):
        if len(done) == moment:
            raise KeyboardInterrupt
        done.append(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with suppress(KeyboardInterrupt):
        new.save_pretrained(folder)
    monkeypatch.undo()
    if channels == 2 and moment == 1:
        return refused(folder, "does not fit its configuration")
    found = states(Cascade.from_pretrained(folder))
    assert found == (old if moment < 2 else states(new))


def states(model: Cascade) -> dict:
    return {name: tensor.tolist() for name, tensor in model.state()}


def test_a_model_that_was_saved_over_another_names_its_own_weights_only(folder):
    with torch.no_grad():
        (second := tiny()).base.spectrum.mul_(2)
    second.save_pretrained(folder)
    assert len(json.loads((folder / storage.CONFIG).read_text())["weights"]) == 1


def test_a_failed_save_leaves_a_folder_of_the_user_and_none_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()

    def full(path, data):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(Path, "write_bytes", full)
    for name in ("mine", "new", "newer/new"):
        with pytest.raises(ValueError, match="File too large"):
            tiny().save_pretrained(tmp_path / name)
    with pytest.raises(ValueError, match="NUL"):
        tiny().save_pretrained(tmp_path / "new/a\0b")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_metadata_that_json_does_not_hold_are_refused_before_anything_is_written(tmp_path):
    (model := tiny()).metadata = {"attrs": {"units": torch.zeros(1)}}
    with pytest.raises(ValueError, match=r"'units' is tensor.*JSON does not hold"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


# --- what is no model --------------------------------------------------------------------------


def refused(folder, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Cascade.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def edited(folder, **changes) -> None:
    content = json.loads((folder / storage.CONFIG).read_text())
    (folder / storage.CONFIG).write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize("name", [storage.CONFIG, storage.WEIGHTS])
def test_an_incomplete_folder_is_refused(folder, name):
    (folder / name).unlink()
    refused(folder, f"incomplete: it lacks {name}")


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
@pytest.mark.parametrize("name", [storage.CONFIG, storage.WEIGHTS])
def test_a_truncated_file_is_refused(folder, name, keep):
    content = (folder / name).read_bytes()
    cut = int(keep * len(content)) if isinstance(keep, float) else keep
    (folder / name).write_bytes(content[:cut].rstrip(b"\n}"))
    refused(folder, "damaged")


@pytest.mark.parametrize(
    ("version", "writer", "words"),
    [
        (storage.FORMAT + 1, {"rgdm": "9.1"}, f"by rgdm 9.1 in format {storage.FORMAT + 1}; .*: update rgdm"),
        (
            1,
            {"rgdm": "0.0.9"},
            r"by rgdm 0.0.9 in format 1; .*: train it again \(rgdm train .*or load it with",
        ),
        (1, {}, "by an early rgdm in format 1; .*: train it again"),
    ],
)
def test_a_model_of_another_format_says_which_version_wrote_it_and_what_to_do(folder, version, writer, words):
    content = json.loads((folder / storage.CONFIG).read_text())
    del content["rgdm"]
    (folder / storage.CONFIG).write_text(json.dumps({**content, **writer, "format": version}))
    refused(folder, f"was written {words}")


def test_another_class_is_refused(folder):
    edited(folder, **{"class": "os.system"})
    refused(folder, "holds a 'os.system'")


def redesigned(folder, **design) -> None:
    configuration = json.loads((folder / storage.CONFIG).read_text())["configuration"]
    edited(folder, configuration={**configuration, "design": {**configuration["design"], **design}})


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"dept": 3}, "'dept' is unknown"),
        ({"levels": 0}, "levels = 0"),
        ({"width": "wide"}, ""),
        ({"width": [-2]}, "width = -2"),
        ({"operator": "eval"}, "unknown operator 'eval'"),
    ],
)
def test_a_configuration_that_describes_no_cascade_is_refused(folder, design, words, unchecked):
    redesigned(folder, **design)
    refused(folder, f"does not describe a cascade: .*{words}")


@pytest.mark.parametrize("part", ["design", "grid", "channels", "repetition"])
def test_a_configuration_without_one_of_its_parts_is_refused(folder, part):
    configuration = json.loads((folder / storage.CONFIG).read_text())["configuration"]
    del configuration[part]
    edited(folder, configuration=configuration)
    refused(folder, f"does not describe a cascade: .*{part}")


@pytest.mark.parametrize("design", [{"width": [5]}, {"levels": 3}])
def test_weights_that_do_not_fit_the_configuration_are_refused(folder, design):
    redesigned(folder, **design)
    refused(folder, "does not fit its configuration")


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "extra.pkl", storage.WEIGHTS])
def test_a_pickle_is_refused_and_not_run(folder, name, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    refused(folder, "damaged or truncated" if name == storage.WEIGHTS else f"contains {name}, which can run code")
    assert not (folder.parent / "exploded").exists()


@pytest.mark.integration
def test_what_is_not_there_is_refused_with_the_models_that_are(tmp_path, monkeypatch):
    refused(tmp_path / "nothing", "there is no model .* ships with rgdm")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is not a model folder")

    def offline(name, allow_patterns):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    refused("someone/something", r"no model folder someone/something, and no such model to download \(no network\)")


def test_a_model_is_a_folder_with_its_configuration_or_a_shipped_name_that_no_file_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cascade(1, 1, 1, width=2, encoder_blocks=1, decoder_blocks=1).save_pretrained("mine")
    assert storage.is_model("mine") and storage.is_model("terrain") and not storage.is_model("nothing")
    (tmp_path / "terrain").mkdir()
    assert not storage.is_model("terrain")
