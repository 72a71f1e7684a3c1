"""Groups of commands that are imported when one of them is asked for.

Most commands ask a server over HTTP; what needs a database or keys, and half a second for importing them, waits.
"""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


def add_late(app: typer.Typer, name: str, about: str, fill: Callable[[typer.Typer], None]) -> None:
    """Add a group whose commands `fill` imports and adds."""

    class Late(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            self._fill()
            return super().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            self._fill()
            return super().get_command(ctx, cmd_name)

        def _fill(self) -> None:
            if not self.commands:
                group = typer.Typer(rich_markup_mode=self.rich_markup_mode)
                fill(group)
                self.commands.update(get_group(group).commands)

    app.add_typer(typer.Typer(help=about, no_args_is_help=True), name=name, cls=Late)
