"""A table for a terminal of any width: where it has no room without breaking words, each row becomes a block."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

TALLEST = 3
"""Lines that a row may take before blocks are easier to read."""
FRAME = 7
"""Lines for the title, the headings and the lines between them."""
LEAST_ROOM = 20
"""Columns that a block leaves for values, whatever its headings take."""
ANY_WIDTH = 100_000


class FoldingTable(Table):
    """A table whose words and ids are never broken."""

    def __rich_console__(self, console: Any, options: ConsoleOptions) -> RenderResult:
        """Render the table, or a block a row."""
        natural = Measurement.get(console, options.update(width=ANY_WIDTH), self._copy(console)).maximum
        if natural <= options.max_width:
            yield from super().__rich_console__(console, options)
        elif self.rows and (table := self._squeezed(console, options, natural)):
            yield table
        else:
            yield from self._blocks(console, options.max_width)

    def _squeezed(self, console: Any, options: ConsoleOptions, natural: int) -> Table | None:
        """Return the table with some columns narrower, no word broken; None if it would be hard to read."""
        wanted, least = self._widths(console, str.splitlines), self._widths(console, str.split)
        spare = options.max_width - natural + sum(wanted) - sum(least)
        if spare < 0:
            return None
        more = [one - other for one, other in zip(wanted, least, strict=True)]
        widths = [low + spare * part // max(1, sum(more)) for low, part in zip(least, more, strict=True)]
        table = self._copy(console, widths)
        lines = console.render_lines(table, options, pad=False)
        return table if len(lines) <= FRAME + TALLEST * len(self.rows) else None

    def _widths(self, console: Any, parts: Callable[[str], list[str]]) -> list[int]:
        """Return the width of the widest part of each column's cells."""
        columns = zip([_plain(console, column.header) for column in self.columns], *self._rows(console), strict=True)
        return [max((cell_len(part) for cell in cells for part in parts(cell)), default=0) for cells in columns]

    def _copy(self, console: Any, widths: Sequence[int] = ()) -> Table:
        title = self.title if widths else None
        copy = Table(title=title, title_justify="left", box=self.box, padding=self.padding, pad_edge=self.pad_edge)
        for number, column in enumerate(self.columns):
            width = widths[number] if widths else None
            copy.add_column(column.header, justify=column.justify, width=width, min_width=column.min_width)
        for row in self._rows(console):
            copy.add_row(*row)
        return copy

    def _rows(self, console: Any) -> Iterator[list[str]]:
        cells = (column.cells for column in self.columns)
        return ([_plain(console, cell) for cell in row] for row in zip(*cells, strict=True))

    def _blocks(self, console: Any, width: int) -> Iterator[Text]:
        if self.title:
            yield Text(_plain(console, self.title), style="italic")
        headings = [_plain(console, column.header) for column in self.columns]
        indent = min(max(map(cell_len, headings)) + 2, max(2, width - LEAST_ROOM))
        if not self.rows:
            yield Text("none")
        for row in self._rows(console):
            yield Text("")
            for heading, value in zip(headings, row, strict=True):
                yield _entry(heading, _lines(value, width - indent), indent, width)


def _entry(heading: str, lines: Sequence[str], indent: int, width: int) -> Text:
    """Return a heading and its value beside it, or below it where one of them is too long."""
    margin = "\n" + " " * indent
    if max(map(cell_len, lines)) > width - indent:  # only a word that no line can hold is broken
        begin, margin = f"{heading}\n", "\n"
    elif cell_len(heading) >= indent:
        begin = heading + margin
    else:
        begin = heading + " " * (indent - cell_len(heading))
    text = Text(begin, style="bold", overflow="fold")
    return text.append(margin.join(lines), style="not bold")


def _lines(text: str, room: int) -> list[str]:
    """Break a text into lines between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and cell_len(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _plain(console: Any, cell: Any) -> str:
    """Return a cell's text as the console shows it."""
    text: str = console.render_str(cell).plain if isinstance(cell, str) else cell.plain
    return text
