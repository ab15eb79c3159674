"""Results in, one page out."""

from rgdm import config


def report(options: config.Report) -> None:
    """Write the page."""
    from rgdm.report import write_report  # matplotlib is an extra

    write_report(options.out, list(options.sources), options.overwrite)
