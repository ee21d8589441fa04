"""The synthetic set on disk, in the layout of SYSU-MM01: made whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from loaders.config import SyntheticSettings
from loaders.dataset import DatasetError
from loaders.synthetic.person import draw_person
from loaders.synthetic.population import Population, gallery_draw, populate
from loaders.synthetic.render import take_picture
from loaders.synthetic.sheet import contact_sheet

VERSION = 1
"""Goes up whenever the same settings give other files."""
ABOUT = "synthetic.json"
SHEET = "contact_sheet.png"

Progress = Callable[[int, int], None]
"""Called with the pictures done so far and the pictures in all."""

_log = logging.getLogger(__name__)
_MATLAB_HEADER = b"MATLAB 5.0 MAT-file, synthetic visible-infrared pictures in the layout of SYSU-MM01"


def default_root(settings: SyntheticSettings) -> Path:
    """Folder in the user's cache for the set of these settings."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = f"synthetic-{settings.persons}x{settings.pictures}-seed{settings.seed}-v{VERSION}"
    return Path(cache) / "aligngan" / name


def ensure(settings: SyntheticSettings, root: str | None = None, progress: Progress | None = None) -> str:
    """Folder that holds the set of these settings, made there where it is missing; default_root without `root`.

    Processes of one node that come together wait for the first; where a file system knows no locks, the first to
    finish wins, with the same files. Raises DatasetError where `root` holds anything else or cannot be written.
    """
    out = Path(root).absolute() if root is not None else default_root(settings).absolute()
    try:
        if not _is_whole(out, settings):
            with _lock(_parent(out)) as locked:
                _ensure(out, settings, progress, locked)
    except OSError as error:
        raise DatasetError(
            f"{out}: holds no synthetic set of these settings, and none can be made there: {error}; set data.root to a "
            "folder where it can, or to one that `python -m loaders.synthetic` made before"
        ) from error
    return str(out)


def _ensure(out: Path, settings: SyntheticSettings, progress: Progress | None, locked: bool) -> None:
    if _is_whole(out, settings):
        return
    _log.info("making the synthetic set in %s", out)
    try:
        _make(out, settings, progress, locked)
    except DatasetError:
        if not _is_whole(out, settings):
            raise


def make(out: str, settings: SyntheticSettings, progress: Progress | None = None) -> Population:
    """Make the set in folder `out`, which must be missing or empty; it appears there only once it is whole."""
    folder = Path(out).absolute()
    with _lock(_parent(folder)) as locked:
        return _make(folder, settings, progress, locked)


def _make(out: Path, settings: SyntheticSettings, progress: Progress | None, locked: bool) -> Population:
    _refuse_foreign(out)
    # The node's name keeps apart the leavings of nodes that share the folder but not the lock.
    prefix = f".{out.name}.{socket.gethostname()}."
    if locked:
        for leftover in out.parent.glob(f"{prefix}*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=prefix, suffix=".partial", dir=out.parent))
    try:
        partial.chmod(0o755)
        population = _write(partial, settings, progress)
        try:
            partial.rename(out)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                _refuse_foreign(out)
            raise
        return population
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, settings: SyntheticSettings, progress: Progress | None) -> Population:
    population = populate(settings.persons, settings.seed)
    total = settings.pictures * sum(map(len, population.cameras.values()))
    done = 0
    for number in sorted(population.cameras):
        person = draw_person(settings.seed, number)
        for camera in population.cameras[number]:
            pictures = folder / f"cam{camera}" / f"{number:04d}"
            pictures.mkdir(parents=True)
            for image in range(1, settings.pictures + 1):
                (pictures / f"{image:04d}.jpg").write_bytes(take_picture(settings.seed, number, person, camera, image))
            done += settings.pictures
            if progress is not None:
                progress(done, total)
    exp = folder / "exp"
    exp.mkdir()
    lists = {"train": population.train, "val": population.val, "test": population.test}
    for name, persons in {**lists, "available": tuple(sorted(population.cameras))}.items():
        (exp / f"{name}_id.txt").write_text(",".join(map(str, persons)) + "\n")
        (exp / f"{name}_id.mat").write_bytes(_matlab("id", np.array([persons], np.uint16)))
    draw = gallery_draw(population, settings.pictures, settings.seed)
    (exp / "rand_perm_cam.mat").write_bytes(_matlab("rand_perm_cam", draw))
    (folder / SHEET).write_bytes(contact_sheet(folder, population))
    (folder / ABOUT).write_text(json.dumps(_about(settings), indent=1) + "\n")
    return population


def _matlab(name: str, value: np.ndarray) -> bytes:
    """MATLAB file without the time that SciPy writes into the header: the same set has the same bytes."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {name: value})
    return _MATLAB_HEADER.ljust(116) + buffer.getvalue()[116:]


def _about(settings: SyntheticSettings) -> dict[str, int]:
    return {"version": VERSION, **settings.model_dump()}


def _is_whole(out: Path, settings: SyntheticSettings) -> bool:
    """Whether `out` is the set of these settings; DatasetError where it is another synthetic set."""
    about = out / ABOUT
    if not about.is_file():
        return False
    found, wanted = json.loads(about.read_text()), _about(settings)
    if found != wanted:
        raise DatasetError(
            f"{out} holds the synthetic set of other settings: found {found}, wanted {wanted}. Set data.synthetic to "
            "what was found, give another data.root, or leave data.root out to keep each set in the cache folder"
        )
    return True


def _refuse_foreign(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not an empty folder: name a new or an empty folder for the synthetic set")


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the lock on a folder; False where its file system has no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            locked = False
        else:
            locked = True
        yield locked
    finally:
        os.close(handle)
