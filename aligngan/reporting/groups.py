"""Which runs belong into one table, and which of them are the same training with another seed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from aligngan.config.schema import Config, MethodName
from aligngan.reporting.runs import Run
from aligngan.scores import DATA_SET_TITLES

# As in Table 4, from the plain network to the whole method.
METHOD_ORDER = ("baseline", "pixalign", "featalign", "aligngan-minus", "aligngan")
assert set(METHOD_ORDER) == set(get_args(MethodName))

# What changes where, how fast or how often something runs, but not what is trained.
_NOT_TRAINING = (
    *("run", "checkpoint", "evaluation", "data.root", "data.trial", "data.backend", "data.threads"),
    *("data.cache", "data.cache_folder"),
    *("data.synthetic", "train.seed", "train.report_every", "method"),
)


@dataclass(frozen=True, eq=False)
class Variant:
    """Runs of one method and one configuration that differ in seed, or in RegDB's trial."""

    label: str
    method: str
    runs: tuple[Run, ...]

    @property
    def scored(self) -> tuple[Run, ...]:
        """The runs that have scores."""
        return tuple(run for run in self.runs if run.scores is not None)

    @property
    def shown(self) -> Run | None:
        """The run whose checkpoint stands for the variant in pictures: the first with one, or None."""
        return next((run for run in self.runs if run.checkpoint is not None), None)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs on the same pictures, scored alike: what may stand in one table."""

    anchor: str
    title: str
    data_set: str
    variants: tuple[Variant, ...]

    @property
    def scored(self) -> tuple[Variant, ...]:
        """The variants with at least one scored run."""
        return tuple(variant for variant in self.variants if variant.scored)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Return the runs by data set and way of scoring, variants in the order of Table 4, runs by seed and trial."""
    by_key: dict[str, list[Run]] = {}
    for run in runs:
        by_key.setdefault(_data_key(run), []).append(run)
    # A run without scores joins those on the same pictures where there is only one way in which they were scored.
    for key in [key for key in by_key if key.endswith("unscored")]:
        scored = [other for other in by_key if other != key and other.startswith(key.removesuffix("unscored"))]
        if len(scored) == 1:
            by_key[scored[0]] += by_key.pop(key)
    groups = []
    firsts = [next((run for run in members if run.scores is not None), members[0]) for members in by_key.values()]
    seen: Counter[str] = Counter()
    for first, members in zip(firsts, by_key.values(), strict=True):
        name, title = first.config.data.name, _title(first)
        seen.update({name: 1, title: 1})
        alike = sum(_title(other) == title for other in firsts)
        groups.append(
            Group(
                anchor=name if seen[name] == 1 else f"{name}-{seen[name]}",
                title=f"{title} ({seen[title]} of {alike})" if alike > 1 else title,
                data_set=name,
                variants=tuple(_variants(members)),
            )
        )
    return groups


def changed_keys(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """Return of each configuration the keys that shape the training and are not the same in all, with their values."""
    flat = [_training(config) for config in configs]
    keys = [key for key in flat[0] if any(each.get(key) != flat[0][key] for each in flat)] if flat else []
    keys += sorted({key for each in flat for key in each} - set(flat[0])) if flat else []
    return [{key: each.get(key) for key in keys} for each in flat]


def _variants(runs: Sequence[Run]) -> list[Variant]:
    variants = []
    for method in METHOD_ORDER:
        by_training: dict[str, list[Run]] = {}
        for run in runs:
            if run.config.method == method:
                by_training.setdefault(json.dumps(_training(run.config), sort_keys=True), []).append(run)
        changes = changed_keys([members[0].config for members in by_training.values()])
        for change, members in zip(changes, by_training.values(), strict=True):
            label = method + (f" ({_named(change)})" if change else "")
            ordered = sorted(members, key=lambda run: (run.seed, run.config.data.trial, run.name))
            variants.append(Variant(label, method, tuple(ordered)))
    return variants


def _named(change: dict[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in change.items())


def _short(value: Any) -> str:
    text = json.dumps(value).strip('"')
    return text if len(text) <= 24 else f"...{text[-20:]}"


def _training(config: Config) -> dict[str, Any]:
    return dict(_flat(config.model_dump(mode="json"), ""))


def _flat(tree: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    leaves = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if name in _NOT_TRAINING:
            continue
        leaves += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return leaves


def _data_key(run: Run) -> str:
    """Text that is the same for runs on the same pictures that were scored alike."""
    data = run.config.data
    pictures: dict[str, Any] = {"name": data.name}
    if data.name == "synthetic":
        pictures |= data.synthetic.model_dump()
    key = json.dumps(pictures)
    if run.scores is None:
        return f"{key} unscored"
    scores = run.scores
    scored = [scores[name] for name in ("data_set", "protocol", "feature", "re_ranking")]
    for search in scores["searches"]:
        where = search.get("direction") or [search["mode"], search["shots"]]
        scored.append([where, search["gallery_draw"], search["probes"], search["gallery_rows"]])
    return f"{key} {json.dumps(scored)}"


def _title(run: Run) -> str:
    data = run.config.data
    title = DATA_SET_TITLES.get(data.name, data.name)
    if data.name == "synthetic":
        title = f"{title}, {data.synthetic.persons} persons, seed {data.synthetic.seed}"
    scores = run.scores or {}
    if scores.get("re_ranking", "none") != "none":
        title += f", re-ranking {scores['re_ranking']}"
    if any(search["gallery_draw"] == "random-seed" for search in scores.get("searches", ())):
        title += ", random-seed gallery"
    return title[0].upper() + title[1:]
