"""Results in, one page out."""

from rgdm import config
from rgdm.errors import InputError
from rgdm.ranges import check_options


def report(options: config.Report) -> None:
    """Write the page."""
    check_options(options)
    if options.out.is_dir():
        raise InputError(f"{options.out} is a folder; a report is one file, such as report.html")
    from rgdm.report import write_report  # matplotlib is an extra

    write_report(options.out, list(options.sources), options.overwrite)
