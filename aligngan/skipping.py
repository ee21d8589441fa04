"""Broken pictures: named one by one, counted at the end."""

import sys


class Skipped:
    """Takes path and reason of each broken picture and names it on the error stream."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def __call__(self, path: str, reason: str) -> None:
        self.paths.add(path)
        print(f"skipped: {reason}", file=sys.stderr, flush=True)

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.paths)

    def say(self, what: str, of: int) -> None:
        """Print how many of so many pictures were skipped, where there were any."""
        if self.paths:
            print(f"{self.count} of {of} {what} pictures are broken and were skipped", file=sys.stderr, flush=True)
