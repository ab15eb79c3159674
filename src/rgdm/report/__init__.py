"""One self-contained HTML page about a model, its evaluation and its samples; it reads files only."""

from collections.abc import Sequence
from pathlib import Path

from rgdm.atomic import write_text
from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.report.page import render
from rgdm.report.sources import Material, collect

__all__ = ["Material", "collect", "write_report"]


def write_report(out: Path, sources: Sequence[Path], overwrite: bool = False) -> None:
    """Write the report on a run folder, or on model folders, evaluation folders and sample files, to ``out``.

    The file appears whole or not at all.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file for the report, such as {out / 'report.html'}")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; {option('pass --overwrite', 'pass overwrite=True')} to replace it")
    if not out.absolute().parent.is_dir():
        raise InputError(f"the folder {out.absolute().parent} does not exist; create it, or write the report elsewhere")
    try:
        from rgdm.report.sections import sections
    except ImportError as error:
        raise InputError("a report needs matplotlib; install it with `pip install 'rgdm[report]'`") from error
    material = collect([Path(source) for source in sources])
    write_text(out, render(material.title, sections(material)))
