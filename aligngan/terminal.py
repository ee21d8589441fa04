"""The progress of counted work: a bar on a terminal, now and then a line where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINES = 10


@contextmanager
def counting(what: str, total: int, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many more are done of `total`; about ten lines where there is no terminal."""
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(what, total=total)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        tenth = _LINES * done // max(1, total)
        done += more
        bar.update(task, completed=done)
        if not console.is_terminal and _LINES * done // max(1, total) > tenth:
            console.print(f"{what}: {done} of {total}", highlight=False)

    with bar:
        yield advance
