"""Screens onto a terminal, in place: only the rows that changed are sent, and nothing ever scrolls."""

from __future__ import annotations

import io

from rich.console import Console, Group

# Where the picture is in a screen of its own, the shell's is there again afterwards; what lacks that ignores it.
ENTER = "\x1b[?1049h\x1b[?25l"
LEAVE = "\x1b[H\x1b[J\x1b[?1049l\x1b[?25h"
# Our own ornaments, for a terminal that may lack them.
ASCII = str.maketrans({"█": "#", "░": "-", "─": "-", "…": "~", "°": " ", "×": "x"})


class Painter:
    """Turns groups into what has to be sent; it remembers what is there.

    `colours` are rich's names of colour systems (`auto` asks the environment). `plain` is for what may not have
    more than ASCII.
    """

    def __init__(self, colours: str = "auto", plain: bool = False) -> None:
        self._colours = colours
        self._plain = plain
        self._shown: list[str] = []
        self._size = (0, 0)

    def paint(self, group: Group, width: int, height: int, whole: bool = False) -> str:
        """What brings the screen from what it shows to this; all of it after a resize, or where `whole` is wanted.

        All of it leaves nothing below either: what stood there before may have had more rows.
        """
        lines = self._render(group, width)[:height]
        lines += [""] * (height - len(lines))
        known = self._shown if self._size == (width, height) and not whole else []
        self._shown, self._size = lines, (width, height)
        rows = [
            f"\x1b[{row + 1};1H{line}\x1b[K"
            for row, line in enumerate(lines)
            if row >= len(known) or known[row] != line
        ]
        return "".join([*rows, *([] if known else ["\x1b[J"])])

    def _render(self, group: Group, width: int) -> list[str]:
        console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system=self._colours,  # type: ignore[arg-type]
            width=width,
            legacy_windows=False,
            emoji=False,
            markup=False,
            highlight=False,
        )
        with console.capture() as capture:
            console.print(group, no_wrap=True, overflow="crop", crop=True, end="")
        text = capture.get()
        return (make_plain(text) if self._plain else text).splitlines()


def make_plain(text: str) -> str:
    """The same in ASCII, as wide as it was; only a sentence with `49 °C` in it is shorter by the sign."""
    return text.replace(" °C", " C").translate(ASCII)
