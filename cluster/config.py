"""What a user can set about a run: where it is kept, on how many workers it runs, how often it is made safe."""

from typing import Literal

from pydantic import BaseModel, Field, field_validator


class RunSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Where a run is kept and which part of a cluster it takes."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run's folder in `storage`; left out, a name with date and time is made."""
    storage: str = Field(default="runs", min_length=1)
    """Folder that holds runs: a local path, a mount shared by all nodes, or a URI such as s3://bucket/runs."""
    if_exists: Literal["refuse", "resume"] = "refuse"
    """What to do where the named run exists: refuse to start, or resume from its newest whole checkpoint."""
    workers: int | str = 2
    """Worker processes, each with an equal share of every batch; `min:max`, such as 2:8, takes what the cluster has."""
    cpus_per_worker: float = Field(default=1, gt=0)
    """CPUs that Ray reserves for each worker."""
    gpu: Literal["auto", "yes", "no"] = "auto"
    """A GPU for each worker, or none; `auto` takes what the cluster has, shared where workers outnumber GPUs."""
    autoscaler: bool = False
    """Whether an autoscaler adds nodes: workers that do not fit are asked for, and `start_timeout` is waited thrice."""
    max_failures: int = Field(default=3, ge=0)
    """Times that lost workers are replaced, resuming from the newest checkpoint; errors in the code are not retried."""
    grow_every: float = Field(default=60, gt=0)
    """Seconds between two looks whether a run with `workers=min:max` could have more of them."""
    start_timeout: float = Field(default=120, gt=0)
    """Seconds that the workers may take to start before the attempt counts as failed; three attempts are made."""
    worker_output: bool = False
    """Copy what workers print, and Ray's own messages, to the terminal; Ray's log files always have it."""
    collective_timeout: int = Field(default=600, ge=10)
    """Seconds that a worker waits for the others in a collective operation before it counts them as lost."""
    hang_timeout: float = Field(default=480, ge=0)
    """Seconds without an iteration or a batch of an evaluation until workers write stacks and are replaced; 0 never."""
    stop_timeout: float = Field(default=60, ge=0)
    """Seconds that a run which is asked to stop (Ctrl-C, SIGTERM, `ray job stop`) may take for a last checkpoint."""

    @field_validator("workers")
    @classmethod
    def _count_or_range(cls, workers: int | str) -> int | str:
        if isinstance(workers, str):
            least, colon, most = workers.partition(":")
            if not (colon and least.isdecimal() and most.isdecimal() and 1 <= int(least) < int(most)):
                raise ValueError("accepted: a number of workers from 1 on, or min:max with min below max, such as 2:8")
        elif workers < 1:
            raise ValueError("accepted: a number of workers from 1 on, or min:max, such as 2:8")
        return workers

    @property
    def elastic(self) -> bool:
        """Whether the number of workers follows what the cluster has."""
        return isinstance(self.workers, str)

    @property
    def min_workers(self) -> int:
        """The least number of workers that the run starts with."""
        return int(str(self.workers).partition(":")[0])

    @property
    def max_workers(self) -> int:
        """The number of workers that the run has where there is room."""
        return int(str(self.workers).rpartition(":")[2])


class CheckpointSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """How often progress is made safe and how much of it is kept."""

    every: int = Field(default=500, ge=1)
    """Iterations between two checkpoints; the last iteration always makes one."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints kept, the newest ones; two let a run survive damage to the newest."""
    best: str | None = None
    """Score of the evaluation, such as `all-single R1`, whose best checkpoint is kept too (as `best_...`)."""
    patience: float = Field(default=600, ge=0)
    """Seconds that storage which cannot be reached is tried again, while training goes on."""
