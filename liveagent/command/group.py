"""The group of all commands."""

from __future__ import annotations

import click


class Commands(click.Group):
    """The commands; of a word that is none, the nearest one is said."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from liveagent.options import suggest

            near = suggest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message.rstrip('.')}{near}", ctx) from None
