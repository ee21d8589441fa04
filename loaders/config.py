"""What a user can set about pictures and batches."""

from typing import Literal

from pydantic import BaseModel, Field


class SyntheticSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """The synthetic visible-infrared set, made where it is missing."""

    persons: int = Field(default=96, ge=8, le=9999)
    """Persons in all; about half train, a tenth validate and the rest test."""
    pictures: int = Field(default=10, ge=2, le=100)
    """Pictures of each person in each camera that saw the person."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything that is drawn: the same seed gives the same files."""


class DataSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Which pictures there are and how they become batches."""

    name: Literal["synthetic", "sysu-mm01", "regdb", "folder"] = "synthetic"
    """Data set, in its own published layout; `folder` is rgb/<person>/* and ir/<person>/* of your own."""
    root: str | None = None
    """Folder of the data set; may be left out for `synthetic`, which is then kept in the user's cache folder."""
    trial: int = Field(default=1, ge=1, le=10)
    """Which of RegDB's ten published splits, or of the draws of test persons from a folder of your own."""
    test_share: float = Field(default=0.5, gt=0, lt=1)
    """`folder` only: share of the persons that are drawn for the test; not used where test_persons.txt names them."""
    image_size: tuple[int, int] = (128, 128)
    """Height and width in pixels at which pictures are loaded and translated."""
    persons_per_batch: int = Field(default=18, ge=2)
    """Persons P in the global batch; divisible by the number of workers."""
    images_per_person: int = Field(default=4, ge=1)
    """Pictures K of each person and modality: a batch holds P x K RGB and P x K IR pictures."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a horizontal flip."""
    pad: int = Field(default=0, ge=0)
    """Pixels of black border from which a random crop is cut back to the image size; 0 is off."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability of erasing a random rectangle."""
    backend: Literal["auto", "threads", "dali", "dali-cpu"] = "auto"
    """Who decodes: DALI on the GPU or the CPU, or a thread pool; `auto` is DALI with a GPU and threads without."""
    on_error: Literal["fail", "skip"] = "fail"
    """A picture that cannot be decoded ends the training, or is skipped: another of its person takes its place."""
    cache: Literal["auto", "none", "files", "decoded"] = "auto"
    """What the workers of a node keep together: nothing, the bytes of the files, or decoded pictures at `image_size`;
    `auto` is the files of a remote data set where they fit in memory, and nothing for a local one."""
    cache_folder: str | None = None
    """Where it is kept and stays for later runs; left out, it is in /dev/shm and goes with the last worker."""
    threads: int = Field(default=2, ge=1)
    """Decoding threads of each worker."""
    synthetic: SyntheticSettings = SyntheticSettings()
    """Size and seed of the synthetic set."""
