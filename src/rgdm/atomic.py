"""Files and folders that are there whole or not at all: written beside their place, then renamed into it."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rgdm.errors import InputError
from rgdm.ranges import check_path


@contextmanager
def replacing(path: Path, needs: int = 0) -> Iterator[Path]:
    """A temporary sibling of ``path``, a file or a folder, that takes its place if the block ends well.

    It is on the disk before it is renamed. If anything fails, Ctrl-C included, what was at ``path`` is still there,
    and neither the sibling nor a parent folder that was made for it is left behind.

    Args:
        path: where the file or folder is to be; missing parents are made.
        needs: bytes of the content, named if the disk is full (0: not known).

    Raises:
        InputError: if ``path`` cannot be written or no file can have its name, or the disk is full.
    """
    check_path(path)
    stem = f".{path.name[:40]}.{secrets.token_hex(4)}"  # names of files are of limited length
    temporary, previous = path.parent / f"{stem}.part", path.parent / f"{stem}.old"
    new_folders: list[Path] = []
    try:
        _make(path.parent, new_folders)
        yield temporary
        flush(temporary)
        if path.exists() and (path.is_dir() or temporary.is_dir()):
            path.rename(previous)  # a folder cannot be replaced in one step
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            if previous.exists() and not path.exists():
                previous.rename(path)
        _remove(temporary)
        with suppress(OSError):  # a folder that somebody else has put something into stays
            for folder in reversed(new_folders):
                folder.rmdir()
        if _is_full(error):
            raise InputError(_full(path, needs)) from error
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    finally:
        _remove(previous)


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents; ``made`` says which of them were not there, the outermost first."""
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            with suppress(FileExistsError):  # somebody else has made it meanwhile, and keeps it
                place.mkdir()
                made.append(place)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) so that it is there whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until a file, or every file of a folder, is on the disk."""
    for name in path.rglob("*") if path.is_dir() else [path]:
        if name.is_file():
            with name.open("rb") as file:
                os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove a file or folder if it is there, all of it even if Ctrl-C comes meanwhile."""
    if not os.path.lexists(path):
        return
    try:
        _delete(path)
    except BaseException:
        _delete(path)
        raise


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_full(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, is full; HDF5 says so only in its text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, Exception) and os.strerror(errno.ENOSPC) in str(error)


def _full(path: Path, needs: int) -> str:
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    wanted = f"needs about {_amount(needs)}" if needs else "cannot be written"
    return f"the disk is full: {path} {wanted}, {_amount(free)} are free"


def _amount(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.3g} MiB"
