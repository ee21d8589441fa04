"""One function on many workers, and what can be seen of it."""
