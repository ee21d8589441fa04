"""The progress bar of making the set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield what `make` and `ensure` take as `progress`; a bar on a terminal, one line where there is none."""
    columns = (TextColumn("making the synthetic set"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task("", visible=False)
    begun = False

    def show(done: int, total: int) -> None:
        nonlocal begun
        if not begun and not console.is_terminal:
            console.print(f"making the synthetic set: {total} pictures", highlight=False)
        begun = True
        bar.update(task, completed=done, total=total, visible=True)

    with bar:
        yield show
