"""The ``rgdm`` command."""

import io
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterable
from typing import Any

import tyro

import rgdm
from rgdm import config
from rgdm.errors import InputError, RangeWarning, TrainingFailedError
from rgdm.notes import command_line

COMMANDS = {
    "train": config.Train,
    "sample": config.Sample,
    "refine": config.Refine,
    "debias": config.Debias,
    "evaluate": config.Evaluate,
    "couplings": config.Couplings,
    "lattice": config.Simulation,
    "report": config.Report,
    "demo": config.Demo,
}


EXHAUSTED = ("DefaultCPUAllocator", "out of memory")
"""Words of torch when the memory of the CPU or of the GPU is exhausted."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command: exit code 2 and one sentence for a user's mistake, 1 and a traceback for a fault of rgdm."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"rgdm {rgdm.__version__}")
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):  # of names that a terminal cannot show, the codes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), command_line():
            warnings.showwarning = _show
            asked = flags(arguments)
            run(tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="rgdm", description=rgdm.__doc__, args=asked))
    except InputError as error:
        return refuse(str(error))
    except TrainingFailedError as error:
        refuse(str(error))
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt as stop:
        print(f"\nrgdm: interrupted; {advice(stop, arguments)}", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in EXHAUSTED):
            return refuse("the memory of this device does not suffice; ask for fewer or smaller fields")
        traceback.print_exc()
        print("rgdm: this is a fault of rgdm, not yours; please report the lines above", file=sys.stderr)
        return 1
    return 0


def flags(arguments: list[str]) -> list[str]:
    """Arguments with the words that stand for flags of three values: given, denied, or left open."""
    words, given = {"--positive": ["--positive", "True"], "--no-positive": ["--positive", "False"]}, list(arguments)
    if given[:1] != ["train"]:
        return given
    after = [*given[1:], ""]
    pairs = zip(given, after, strict=True)
    return [word for one, next_ in pairs for word in ([one] if next_ in ("True", "False") else words.get(one, [one]))]


def run(options: Any) -> None:
    """Carry out one command; libraries are imported only here, so that ``rgdm --help`` is quick."""
    from rgdm.workers import alone

    with alone():  # whole pieces go to threads, so that a neighbour on one core does not hold up every operation
        for line in carry_out(options):
            print(line)


def carry_out(options: Any) -> Iterable[str]:
    """Do what a command asks; what is left to say."""
    from rgdm import commands
    from rgdm.demo import demo

    match options:
        case config.Train():
            commands.train(options)
            return [f"The model is in {options.out}"]
        case config.Sample():
            commands.sample(options)
            return [f"The samples are in {options.out}"]
        case config.Refine():
            commands.refine(options)
            return [f"The ensemble is in {options.out}"]
        case config.Debias():
            return [*commands.debias_table(commands.debias(options)), f"The corrected values are in {options.out}"]
        case config.Evaluate():
            return commands.summary(commands.evaluate(options))
        case config.Couplings():
            return commands.couplings_table(commands.couplings(options))
        case config.Simulation():
            return [*commands.lattice_table(commands.lattice(options)), f"The fields are in {options.out}"]
        case config.Report():
            commands.report(options)
            return [f"The report is at {options.out}"]
        case _:
            demo(options)
            return []


def _show(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """A warning of rgdm in one line, above a progress bar; any other as Python shows it."""
    from tqdm import tqdm

    ours = issubclass(category, RangeWarning)
    text = f"rgdm: warning: {message}\n" if ours else warnings.formatwarning(message, category, *where[:2])
    tqdm.write(text, file=sys.stderr, end="")


def refuse(reason: str) -> int:
    """Say on one line why not."""
    print(f"rgdm: {' '.join(reason.split())}", file=sys.stderr)
    return 2


def advice(stop: KeyboardInterrupt, arguments: list[str]) -> str:
    """How to go on after Ctrl-C; an interrupted step that left something behind says so itself."""
    if not any(stop.args):
        return "nothing was written"
    if arguments[0] != "train":
        return f"{stop.args[0]}; start again with --overwrite"
    again = [word for word in arguments if word not in ("--overwrite", "--resume")]
    return f"{stop.args[0]}; go on with: rgdm {shlex.join([*again, '--resume'])}"


if __name__ == "__main__":
    sys.exit(main())
