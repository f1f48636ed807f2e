"""The way in from a shell. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from liveagent import __version__

        print(f"liveagent {__version__}")
        return
    from liveagent.cli import main as command
    from liveagent.cli import run

    if "_LIVEAGENT_COMPLETE" in os.environ:
        from liveagent.completion import teach

        teach(command)
    run()


if __name__ == "__main__":
    main()
