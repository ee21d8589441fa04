"""Small facts that the processes of one run tell each other: the driver, Ray Train's controller and the workers."""

import json
from typing import Any

from ray.experimental import internal_kv

NAMESPACE = b"cluster-board"


class Board:
    """Named JSON values in the key-value store of Ray's head, which every process of a cluster reaches.

    They last as long as the head. Reading costs about a millisecond.

    Args:
        run: what tells runs apart: the run folder's path on its file system.
    """

    def __init__(self, run: str) -> None:
        self._run = run

    def post(self, name: str, value: object) -> None:
        """Write a value over what is there under its name."""
        internal_kv._internal_kv_put(self._key(name), json.dumps(value).encode(), overwrite=True, namespace=NAMESPACE)

    def read(self, name: str) -> Any:
        """Return a value, or None where there is none."""
        content = internal_kv._internal_kv_get(self._key(name), namespace=NAMESPACE)
        return None if content is None else json.loads(content)

    def take(self, name: str) -> Any:
        """Return a value and remove it, or None where there is none."""
        value = self.read(name)
        if value is not None:
            internal_kv._internal_kv_del(self._key(name), namespace=NAMESPACE)
        return value

    def names(self, prefix: str = "") -> list[str]:
        """Return the sorted names that begin with a prefix."""
        keys = internal_kv._internal_kv_list(self._key(prefix), namespace=NAMESPACE)
        return sorted(key.decode().partition("\0")[2] for key in keys)

    def clear(self) -> None:
        """Remove what an earlier start of the run left."""
        internal_kv._internal_kv_del(self._key(""), del_by_prefix=True, namespace=NAMESPACE)

    def _key(self, name: str) -> bytes:
        # The separator keeps the runs `a` and `ab` apart where all keys of one are removed.
        return f"{self._run}\0{name}".encode()
