"""What the trials of a sweep scored, read from their run folders."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aligngan.config import Config
from cluster.progress import METRICS, read_metrics
from tune.folder import SCORES_FILE, SweepFolder
from tune.points import SEED, Point, base_value, listed_points
from tune.settings import SweepSettings

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """One trial."""

    name: str
    values: dict[str, Any]
    """Value of every key of the space; of a reference also the keys that it sets itself."""
    seed: int
    reference: str | None
    status: str
    """finished, stopped early, failed, begun (it runs, or was interrupted) or waiting."""
    run: str
    """The run folder, where there is one."""
    scores: dict[str, float] = field(default_factory=dict)
    """Of the last evaluation, in percent; comparable between finished trials."""
    course: tuple[tuple[int, dict[str, float]], ...] = ()
    """Iteration and scores of every evaluation."""
    seconds: float | None = None
    """Time of its iterations, evaluations not counted."""
    chance: dict[str, float] = field(default_factory=dict)
    """Rank-1 of guessing in each search, of a finished one."""
    message: str | None = None
    """Why it failed."""

    @property
    def iteration(self) -> int | None:
        """Iteration of the last evaluation."""
        return self.course[-1][0] if self.course else None


@dataclass(frozen=True)
class Group:
    """Trials that differ in their seed alone."""

    values: dict[str, Any]
    reference: str | None
    results: tuple[Result, ...]
    """Those that were trained to their end, whose scores can be compared."""
    unfinished: tuple[Result, ...] = ()
    """The others."""

    def scores(self, name: str) -> list[float]:
        """Return a score of every seed."""
        return [result.scores[name] for result in self.results]

    def mean(self, name: str) -> float:
        """Return the mean of a score over the seeds."""
        return statistics.fmean(self.scores(name))

    def spread(self, name: str) -> float | None:
        """Return the sample standard deviation over the seeds, None for a single one."""
        return statistics.stdev(self.scores(name)) if len(self.results) > 1 else None


@dataclass(frozen=True)
class SweepResults:
    """A sweep with all that it has scored so far."""

    name: str
    location: str
    settings: SweepSettings
    base: Config
    results: tuple[Result, ...]

    @property
    def search(self) -> str:
        """The search of the sweep's metric, such as all-single."""
        return self.settings.metric.rpartition(" ")[0]

    @property
    def rank1(self) -> str:
        """Name of Rank-1 in the search of the metric."""
        return f"{self.search} R1"

    @property
    def mean_ap(self) -> str:
        """Name of mAP in the search of the metric."""
        return f"{self.search} mAP"

    @property
    def chance(self) -> float | None:
        """Rank-1 of guessing in the search of the metric, in percent, or None where nothing is finished."""
        return next((result.chance[self.search] for result in self.results if self.search in result.chance), None)

    def points(self) -> list[Group]:
        """Return the trials by their values, in the order of the sweep."""
        found: list[tuple[tuple[dict[str, Any], str | None], list[Result]]] = []
        for result in self.results:
            key = (result.values, result.reference)
            place = next((members for known, members in found if known == key), None)
            if place is None:
                found.append((key, [result]))
            else:
                place.append(result)
        return [
            Group(
                values,
                reference,
                tuple(result for result in members if result.status == "finished"),
                tuple(result for result in members if result.status != "finished"),
            )
            for (values, reference), members in found
        ]

    def groups(self) -> list[Group]:
        """Return the points with a trial that was trained to its end, in the order of the sweep."""
        return [group for group in self.points() if group.results]

    def references(self) -> list[Group]:
        """Return the references among `groups`."""
        return [group for group in self.groups() if group.reference is not None]

    def best(self) -> Group | None:
        """Return the point with the highest mean of the metric among those with the most seeds, or None."""
        groups = [group for group in self.groups() if group.reference is None]
        most = max((len(group.results) for group in groups), default=0)
        complete = [group for group in groups if len(group.results) == most]
        return max(complete, key=lambda group: group.mean(self.settings.metric), default=None)


def read_results(sweep: SweepFolder) -> SweepResults:
    """Read a sweep, also one that still goes on; raises ConfigError where its folder is spoilt."""
    settings, base = sweep.read()
    started = [Point(trial.name, trial.values, trial.reference) for trial in sweep.trials.values()]
    points = started if settings.search == "optuna" else listed_points(settings, base)
    results = tuple(_read(sweep, settings, base, point) for point in points)
    return SweepResults(sweep.folder.name, sweep.folder.location, settings, base, results)


def _read(sweep: SweepFolder, settings: SweepSettings, base: Config, point: Point) -> Result:
    values = {key: base_value(base, key) for key in settings.space} | dict(point.values)
    seed = values.pop(SEED)
    folder, trial = sweep.run(point.name), sweep.trials.get(point.name)
    finished = folder.exists(SCORES_FILE)
    if trial is None and not finished:
        return Result(point.name, values, seed, point.reference, "waiting", "")
    status = "finished" if finished else trial.status if trial is not None else "started"
    records = read_metrics(folder) if folder.exists(METRICS) else []
    evaluations = [record for record in records if record.get("kind") == "evaluation"]
    course = tuple((int(record["iteration"]), _scores(record)) for record in evaluations)
    searches = json.loads(folder.read_bytes(SCORES_FILE))["searches"] if finished else []
    scores = _final(searches) if finished else (course[-1][1] if course else {})
    spent = [record["seconds"] for record in records if record.get("kind") == "train" and "seconds" in record]
    return Result(
        point.name,
        values,
        seed,
        point.reference,
        {"started": "begun", "stopped": "stopped early"}.get(status, status),
        folder.location,
        scores,
        course,
        math.fsum(spent) if spent else None,
        {_search(search): search["chance_R1"] for search in searches if "chance_R1" in search},
        trial.message if trial is not None and status == "failed" else None,
    )


def _final(searches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The scores of scores.json under the names of the training's evaluations, with all that it has."""
    return {f"{_search(search)} {name}": value for search in searches for name, value in search["mean"].items()}


def _search(search: Mapping[str, Any]) -> str:
    return search.get("direction") or "-".join((search["mode"], search["shots"]))


def _scores(record: Mapping[str, Any]) -> dict[str, float]:
    return {key: value for key, value in record.items() if key.endswith((" R1", " mAP"))}
