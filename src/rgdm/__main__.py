"""``python -m rgdm``."""

import sys

from rgdm.cli import main

sys.exit(main())
