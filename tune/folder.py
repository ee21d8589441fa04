"""The folder of a sweep: what it is, how each trial stands, and the trials' run folders.

sweep.yaml             the sweep's settings and the configuration that its trials vary: all that a resume needs
trials.json            trials that were started, in order, with their values and how they ended
trials/SWEEP.POINT/    the run folder of each trial, as `aligngan.train` makes it
ray-tune/start-1/      what Ray Tune logs: result.json, progress.csv and TensorBoard files of each trial
report/                what `tune.report` makes
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import yaml

from aligngan.config import Config, ConfigError, dump, validate
from cluster.config import RunSettings
from cluster.folder import RunFolder, run_folder
from cluster.patience import READ_SECONDS, patiently
from tune.points import Point
from tune.settings import SweepSettings, parse_settings, varied

SWEEP_FILE, TRIALS_FILE, TRIALS, RAY_TUNE, REPORT = "sweep.yaml", "trials.json", "trials", "ray-tune", "report"
SCORES_FILE = "scores.json"
"""File of a run folder whose presence says that the training is finished."""

Status = Literal["started", "finished", "stopped", "failed"]


@dataclass
class Trial:
    """How a trial stands."""

    name: str
    values: dict[str, Any]
    reference: str | None = None
    status: Status = "started"
    """`stopped` is stopped early for good; `started` is also what an interrupted trial says, which goes on later."""
    iteration: int | None = None
    """Iteration of the last evaluation of a trial that was stopped."""
    message: str | None = None
    """Why it failed."""


@dataclass
class SweepFolder:
    """A sweep's folder, local, shared or in an object store."""

    folder: RunFolder
    trials: dict[str, Trial] = field(default_factory=dict)

    @classmethod
    def new(cls, run: RunSettings, space: str) -> "SweepFolder":
        """Return the folder of a new sweep in `run.storage`; raises RunExists where it holds something."""
        folder = run_folder(run, f"sweep-{space}")
        folder.claim("refuse")
        return cls(folder)

    @classmethod
    def of(cls, location: str) -> "SweepFolder":
        """Return the folder of a sweep that was started; raises ConfigError where there is none."""
        folder = RunFolder(location)
        if not folder.exists(SWEEP_FILE):
            raise ConfigError(f"{location}: no {SWEEP_FILE} in {folder.location}, so this is not the folder of a sweep")
        sweep = cls(folder)
        if folder.exists(TRIALS_FILE):
            for tree in json.loads(folder.read_bytes(TRIALS_FILE)):
                sweep.trials[tree["name"]] = Trial(**tree)
        return sweep

    def write(self, settings: SweepSettings, base: Config) -> None:
        """Write down what the sweep is."""
        tree = {"sweep": settings.model_dump(mode="json"), "config": yaml.safe_load(dump(base))}
        self.folder.write_bytes(SWEEP_FILE, yaml.safe_dump(tree, sort_keys=False).encode())

    def read(self) -> tuple[SweepSettings, Config]:
        """Return the settings and the base configuration; raises ConfigError where the file was spoilt."""
        source = os.path.join(self.folder.location, SWEEP_FILE)
        try:
            tree = yaml.safe_load(self.folder.read_bytes(SWEEP_FILE))
            return parse_settings(tree["sweep"], source), validate(tree["config"])
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise ConfigError(f"{source}: expected the sections sweep and config: {error!r}") from None

    def run(self, name: str) -> RunFolder:
        """Return the run folder of a trial; its name is that of the sweep and the trial, unique in dashboards."""
        place, question, options = self.folder.location.partition("?")
        return RunFolder(f"{place}/{TRIALS}/{self.folder.name}.{name}{question}{options}")

    def config(self, base: Config, name: str, values: Mapping[str, Any]) -> Config:
        """Return the configuration of a trial, for its own run folder; resumes what is there."""
        run = self.run(name)
        config = varied(base, dict(values))
        here = {"name": run.name, "storage": run.storage, "if_exists": "resume"}
        return config.model_copy(update={"run": config.run.model_copy(update=here)})

    def is_finished(self, name: str) -> bool:
        """Return whether a trial was trained to its end, whatever the list of trials says."""
        return patiently(lambda: self.run(name).exists(SCORES_FILE), READ_SECONDS, f"looking for {name}")

    def is_over(self, name: str) -> bool:
        """Return whether a trial was trained to its end or stopped early for good, so that a resume leaves it alone."""
        trial = self.trials.get(name)
        return (trial is not None and trial.status == "stopped") or self.is_finished(name)

    def note(self, point: Point, **changes: Any) -> None:
        """Write down how a trial stands now."""
        trial = self.trials.setdefault(point.name, Trial(point.name, dict(point.values), point.reference))
        for name, value in {"message": None, "iteration": None, **changes}.items():
            setattr(trial, name, value)
        trees = [asdict(trial) for trial in self.trials.values()]
        patiently(lambda: self.folder.write_json(TRIALS_FILE, trees), READ_SECONDS, f"writing {TRIALS_FILE}")
