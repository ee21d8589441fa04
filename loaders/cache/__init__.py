"""Picture files, or the pictures themselves, kept once per node for all workers."""

from loaders.cache.files import Files
from loaders.cache.opening import open_files

__all__ = ["Files", "open_files"]
