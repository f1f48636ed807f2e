"""The way in from a shell. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from liveagent import __version__

        print(f"liveagent {__version__}")
        return
    from liveagent.cli import run

    run()


if __name__ == "__main__":
    main()
