"""`python3 -m delivery`."""

from __future__ import annotations

import sys

from delivery.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
