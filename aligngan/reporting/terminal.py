"""Progress of a report: a bar for each step on a terminal, one line each where there is none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def steps(console: Console) -> Callable[[str], AbstractContextManager[Callable[[int, int], None]]]:
    """Return what `build` takes as `step`."""

    @contextmanager
    def step(text: str) -> Iterator[Callable[[int, int], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(text, total=None)
            if not console.is_terminal:
                console.print(text, highlight=False, markup=False, soft_wrap=True)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return step
