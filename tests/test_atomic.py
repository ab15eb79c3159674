"""The atomic writer: a file or folder is there whole or not at all, whatever goes wrong."""

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from rgdm import atomic
from rgdm.atomic import replacing, write_text
from rgdm.errors import InputError

FAILURES = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("a bug"), KeyboardInterrupt()]
failing = pytest.mark.parametrize("error", FAILURES, ids=["full disk", "defect", "Ctrl-C"])


def fill(place, kind, text):
    """A file or a folder of two files that holds a text."""
    if kind == "file":
        place.write_text(text)
    else:
        (place / "inner").mkdir(parents=True)
        (place / "inner" / "a").write_text(text)
        (place / "b").write_text(text)


def content(place):
    return {str(p.relative_to(place)): p.read_text() for p in (place, *place.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("before", ["nothing", "file", "folder"])
@pytest.mark.parametrize("after", ["file", "folder"])
def test_what_was_there_is_replaced_by_a_file_or_a_folder(tmp_path, before, after):
    path = tmp_path / "a"
    if before != "nothing":
        fill(path, before, "old")
    with replacing(path) as temporary:
        fill(temporary, after, "new")
    fill(tmp_path / "wanted", after, "new")
    assert content(path) == content(tmp_path / "wanted")
    assert {p.name for p in tmp_path.iterdir()} == {"a", "wanted"}


@failing
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, kind, error):
    fill(tmp_path / "a", kind, "old")
    before = content(tmp_path / "a")
    with pytest.raises((InputError, RuntimeError, KeyboardInterrupt)), replacing(tmp_path / "a") as temporary:
        fill(temporary, kind, "new")
        raise error
    assert content(tmp_path / "a") == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@failing
def test_a_failure_takes_the_folders_that_were_made_for_it_and_no_other(tmp_path, error):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "empty/new/newer"):
        with (
            pytest.raises((InputError, RuntimeError, KeyboardInterrupt)),
            replacing(tmp_path / place / "a") as temporary,
        ):
            temporary.write_text("new")
            raise error
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]


def test_an_interrupted_exchange_of_folders_is_undone(tmp_path, monkeypatch):
    fill(tmp_path / "a", "folder", "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as temporary:
        fill(temporary, "folder", "new")
    assert content(tmp_path / "a")["b"] == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_folder_that_was_replaced_goes_even_if_ctrl_c_comes_meanwhile(tmp_path, monkeypatch):
    fill(tmp_path / "a", "folder", "old")
    remove, calls = shutil.rmtree, []

    def interrupted_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(*arguments, **options)

    monkeypatch.setattr(atomic.shutil, "rmtree", interrupted_once)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as temporary:
        fill(temporary, "folder", "new")
    assert content(tmp_path / "a")["b"] == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_of_the_user_stays(tmp_path):
    fill(tmp_path / "data", "folder", "old")
    (tmp_path / "a").symlink_to(tmp_path / "data")
    with replacing(tmp_path / "a") as temporary:
        fill(temporary, "folder", "new")
    assert content(tmp_path / "a")["b"] == "new" and content(tmp_path / "data")["b"] == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "data"}


def test_every_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(atomic.os, "fsync", lambda _: synced.append((tmp_path / "a").exists()))
    with replacing(tmp_path / "a") as temporary:
        fill(temporary, "folder", "new")
    assert synced == [False, False]


@pytest.mark.parametrize(
    ("error", "needs", "sentence"),
    [
        (OSError(errno.ENOSPC, "full"), 0, "the disk is full: .*a cannot be written, 3 MiB are free"),
        (OSError(errno.EDQUOT, "quota"), 2**31, "the disk is full: .*a needs about 2.00 GiB, 3 MiB are free"),
        (RuntimeError("errno = 28, 'No space left on device'"), 0, "the disk is full"),  # as HDF5 says it
        (PermissionError(errno.EACCES, "Permission denied"), 0, "cannot write .*a: Permission denied"),
    ],
)
def test_why_nothing_can_be_written_is_one_sentence(tmp_path, monkeypatch, error, needs, sentence):
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**20))
    with pytest.raises(ValueError, match=sentence), replacing(tmp_path / "a", needs):
        raise error


def test_a_text_is_written_in_utf8(tmp_path):
    write_text(tmp_path / "new" / "a", "ξ = 4")
    assert (tmp_path / "new" / "a").read_bytes() == "ξ = 4".encode()


@pytest.mark.parametrize("name", ["a\0b", 256 * "a", "new/a\0b/c", "new/" + 256 * "a" + "/c"])
def test_a_name_that_no_file_can_have_is_refused_before_a_folder_is_made(tmp_path, name):
    with pytest.raises(InputError, match=r"NUL|at most 255"), replacing(tmp_path / name):
        pytest.fail("nothing can be written there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [255 * "a", 127 * "é", 63 * "\U0001f30d"])
def test_a_name_as_long_as_names_may_be_is_written(tmp_path, name):
    write_text(tmp_path / name, "text")
    write_text(tmp_path / name, "other")
    assert (tmp_path / name).read_text() == "other" and len(list(tmp_path.iterdir())) == 1


@failing
def test_a_folder_that_somebody_else_has_made_meanwhile_stays(tmp_path, monkeypatch, error):
    make = atomic.Path.mkdir

    def overtaken(path, *arguments, **options):
        make(path, *arguments, **options)
        make(path, *arguments, **options)  # which finds it there, as if it had been made by another process

    monkeypatch.setattr(atomic.Path, "mkdir", overtaken)
    with pytest.raises((InputError, RuntimeError, KeyboardInterrupt)), replacing(tmp_path / "new" / "a") as temporary:
        temporary.write_text("new")
        raise error
    assert [p.name for p in tmp_path.rglob("*")] == ["new"]


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match=r"cannot write .*Not a directory"), replacing(tmp_path / "file" / "a" / "b"):
        pytest.fail("nothing can be written there")
    assert (tmp_path / "file").read_text() == "precious"
