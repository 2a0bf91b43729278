"""Makes the tables that commands print."""

from __future__ import annotations

from rich import box
from rich.table import Table


def make_table(title: str, *columns: str) -> Table:
    """Make a narrow table: names on the left, and numbers in the other columns."""
    table = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 0, 0, 1), pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=index > 0)
    return table
