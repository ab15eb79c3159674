"""``python -m benchmarks NAME ...``: one study, or ``render``."""

import importlib
import sys

from benchmarks.catalogue import STUDIES, TOOLS
from rgdm.errors import InputError


def main() -> None:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name not in STUDIES | TOOLS:
        names = "\n  ".join((*STUDIES, *TOOLS))
        print(
            f"python -m benchmarks NAME [--help], NAME one of\n  {names}",
            file=sys.stdout if "-h" in name else sys.stderr,
        )
        sys.exit(0 if "-h" in name else 2)
    try:
        importlib.import_module(f"benchmarks.{(STUDIES | TOOLS)[name]}").main(arguments)
    except InputError as error:  # a mistake of the user: one sentence
        sys.exit(str(error))


if __name__ == "__main__":
    main()
