"""The group of all commands, and what is special about one of them."""

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
            from liveagent.options import find_nearest, suggest
            from liveagent.tasks import BUILT_IN

            near = suggest(args[0], self.list_commands(ctx))
            task = find_nearest(args[0], BUILT_IN) if args[0] in BUILT_IN or not near else ""
            if task:
                near = f"; did you mean `liveagent run {task}`?"
            raise click.UsageError(f"{error.message.rstrip('.')}{near}", ctx) from None


class RunCommand(click.Command):
    """`run`, whose help has the options of the tasks that stand beside --help as well."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        from liveagent.command.show import find_task, render_options

        words = [word for word in ctx.meta.get("words", ()) if not word.startswith("-")]
        # Where there is no shell, as for the manual, no task was asked about.
        names = words[0].split(",") if words and ctx.obj else []
        more = [render_options(find_task(ctx.obj, name)) for name in names]
        return "\n\n".join([super().get_help(ctx), *more])
