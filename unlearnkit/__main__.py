"""``python -m unlearnkit`` is the command ``unlearnkit``."""

import sys

from unlearnkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
