"""The way in from a shell. `--version`, and `status` by the service, are answered before anything heavy is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    try:
        answer()
    except KeyboardInterrupt:
        # While something is still imported, most of the time of Tab and of `status`: there is nothing to put away.
        sys.exit(130)


def answer() -> None:
    if sys.argv[1:] == ["--version"]:
        from liveagent import __version__

        print(f"liveagent {__version__}")
        return
    if sys.argv[1:] in (["status"], ["status", "--json"]):
        from liveagent.glance import JSON, ask, ask_for_text

        told = ask(JSON if sys.argv[2:] else ask_for_text())
        if told is not None:
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            sys.stdout.write(told)
            return
    from liveagent.cli import main as command
    from liveagent.cli import run

    if "_LIVEAGENT_COMPLETE" in os.environ:
        from liveagent.completion import teach

        teach(command)
    run()


if __name__ == "__main__":
    main()
