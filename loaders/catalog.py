"""The data sets that there are, each behind its own reader."""

from loaders import picture_folder, regdb, synthetic, sysu_mm01
from loaders.config import DataSettings
from loaders.dataset import Dataset, DatasetError


def open_dataset(settings: DataSettings) -> Dataset:
    """Read the data set that the settings name; the synthetic set is made first where it is missing.

    Raises DatasetError, naming the folder or file and what to do, for a set that is not there or not whole.
    """
    if settings.name == "synthetic":
        return sysu_mm01.read(synthetic.ensure(settings.synthetic, settings.root), name="synthetic")
    if settings.root is None:
        raise DatasetError(f"data.root is not set: give the folder of {settings.name} with `data.root=FOLDER`")
    try:
        if settings.name == "regdb":
            return regdb.read(settings.root, settings.trial)
        if settings.name == "folder":
            return picture_folder.read(settings.root, settings.trial, settings.test_share)
        return sysu_mm01.read(settings.root)
    except OSError as error:
        raise DatasetError(f"data.root={settings.root}: it cannot be read ({error})") from error
