"""A report from run folders to a folder of files: read, draw what can be drawn, say what cannot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from aligngan.model import ModelError
from aligngan.reporting.curves import gradient_curves, judgement_curves, learning_rate_curves, loss_curves, score_curves
from aligngan.reporting.drawing import Picture
from aligngan.reporting.exhibits import Choice, Exhibit, choose, embed
from aligngan.reporting.groups import Group, Variant, group_runs
from aligngan.reporting.methods_picture import methods_picture
from aligngan.reporting.output import open_folder, write_report
from aligngan.reporting.page import Section
from aligngan.reporting.projection import projection_picture
from aligngan.reporting.ranked_lists import ranked_pictures
from aligngan.reporting.runs import Run, read_runs
from aligngan.reporting.score_tables import main_search, methods_table, runs_table, searches_tables, similarity_table
from aligngan.reporting.translations import translation_picture
from cluster.errors import ClusterError
from cluster.folder import RunFolder
from loaders.backends.requests import PictureError
from loaders.catalog import open_dataset
from loaders.dataset import DatasetError
from loaders.synthetic import ensure

Step = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Called with what is done now; the context yields a function of (done, total)."""

TITLE = "AlignGAN: report of runs"


def build(locations: Sequence[str], out: str, step: Step, data: str | None = None, pictures: bool = True) -> list[str]:
    """Write the report of run folders.

    Args:
        locations: run folders, local or URIs.
        out: folder of the report: new, empty or an earlier report's.
        step: shows progress.
        data: folder of the data set where it is not where the runs say.
        pictures: also draw what needs checkpoints and the data set: translations, features and ranked lists.

    Returns:
        What is left out and why, one sentence each.

    Raises:
        NotARun: for folders that hold no run.
        FolderInUse: for an `out` that holds something else.
    """
    folder = open_folder(out)
    with step("reading runs") as progress:
        runs = read_runs(locations, progress)
    left_out = [sentence for run in runs for sentence in run.lacking]
    groups = group_runs(runs)
    sections = []
    for group in groups:
        shown: list[Section] = []
        if pictures:
            shown = _looked_at(group, data, step, left_out)
        with step(f"drawing tables and curves of {group.title}") as progress:
            sections.append(_section(group, shown, progress))
    if not pictures:
        left_out.append("Translations, features and ranked lists were not asked for.")
    if len(groups) > 1:
        left_out.append(
            "There is no table over all runs: they are of different pictures or were scored differently, so each kind "
            "has tables of its own."
        )
    with step(f"writing to {folder.location}") as progress:
        files = write_report(folder, TITLE, _lead(runs, groups), sections, left_out)
        progress(files, files)
    return left_out


def page_of(out: str) -> str:
    """Return where the page of a report is."""
    return RunFolder(out).location.partition("?")[0].rstrip("/") + "/index.html"


def _lead(runs: Sequence[Run], groups: Sequence[Group]) -> str:
    on = ", ".join(group.title for group in groups)
    many = f"{len(runs)} run" + ("s" if len(runs) > 1 else "")
    return (
        f"{many} on: {on}. Scores are percent; whatever is drawn here can be had as PNG, SVG and CSV beside this page."
    )


def _section(group: Group, shown: Sequence[Section], progress: Callable[[int, int], None]) -> Section:
    makers: list[Callable[[Group], Section | None]] = [_scores_section, _searches_section, _curves_section]
    sections: list[Section | None] = []
    for done, make in enumerate(makers):
        progress(done, len(makers))
        sections.append(make(group))
    progress(len(makers), len(makers))
    inner = [section for section in sections if section is not None]
    return Section(group.anchor, group.title, sections=(*inner, *shown))


def _scores_section(group: Group) -> Section:
    if not group.scored:
        return Section(f"{group.anchor}-runs-section", "Runs", tables=(runs_table(group),))
    return Section(
        f"{group.anchor}-methods-section",
        "Methods (Table 4)",
        tables=(methods_table(group), similarity_table(group), runs_table(group)),
        pictures=(methods_picture(group),),
    )


def _searches_section(group: Group) -> Section | None:
    if not group.scored:
        return None
    title = "Both directions (Table 3)" if "direction" in main_search(group) else "All searches (Table 2)"
    return Section(f"{group.anchor}-searches-section", title, tables=tuple(searches_tables(group)))


def _curves_section(group: Group) -> Section | None:
    draws = (score_curves, loss_curves, judgement_curves, gradient_curves, learning_rate_curves)
    drawn = tuple(picture for draw in draws if (picture := draw(group)) is not None)
    return Section(f"{group.anchor}-curves-section", "Training curves", pictures=drawn) if drawn else None


def _looked_at(group: Group, data: str | None, step: Step, left_out: list[str]) -> list[Section]:
    """Sections of what has to be looked at; what cannot be had is added to `left_out`."""
    shown = [(variant, run) for variant in group.variants if (run := variant.shown) is not None]
    if not shown:
        return []
    trial = shown[0][1].config.data.trial
    other = [variant.label for variant, run in shown if run.config.data.trial != trial]
    if group.data_set == "regdb" and other:
        left_out.append(f"Pictures are of trial {trial}, of which {', '.join(other)} has no checkpoint.")
        shown = [pair for pair in shown if pair[1].config.data.trial == trial]
    try:
        choice = _choice(shown[0][1], data, step)
    except (DatasetError, OSError, ValueError) as error:
        left_out.append(f"{group.title}: translations, features and ranked lists need its pictures: {error}")
        return []
    exhibits = list(_embedded(shown, choice, step, left_out))
    if not exhibits:
        return []
    try:
        with step(f"drawing translations, features and ranked lists of {group.title}") as progress:
            return _looked_at_sections(group.anchor, exhibits, progress)
    except PictureError as error:
        left_out.append(f"{group.title}: translations, features and ranked lists: {error}")
        return []


def _choice(run: Run, data: str | None, step: Step) -> Choice:
    settings = run.config.data if data is None else run.config.data.model_copy(update={"root": data})
    if settings.name == "synthetic":
        with step("looking for the synthetic set, which is made where it is missing") as progress:
            ensure(settings.synthetic, settings.root, progress)
    return choose(open_dataset(settings), run.config.evaluation)


def _embedded(
    shown: Sequence[tuple[Variant, Run]], choice: Choice, step: Step, left_out: list[str]
) -> Iterator[Exhibit]:
    total = len(choice.embedded)
    for variant, run in shown:
        try:
            with step(f"features of {run.name}") as progress:
                counted = [0]

                def on_pictures(
                    count: int, counted: list[int] = counted, progress: Callable[[int, int], None] = progress
                ) -> None:
                    counted[0] += count
                    progress(counted[0], total)

                yield embed(variant, run, choice, on_pictures)
        except (ModelError, ClusterError, PictureError) as error:
            left_out.append(f"{run.name}: its translations, features and ranked lists: {error}")


def _looked_at_sections(anchor: str, exhibits: list[Exhibit], progress: Callable[[int, int], None]) -> list[Section]:
    total = 3 + len(exhibits)
    sections = []
    progress(0, total)
    if (translations := translation_picture(anchor, exhibits)) is not None:
        sections.append(
            Section(
                f"{anchor}-translations-section",
                "Fake infrared pictures (Figure 5)",
                pictures=(translations,),
                photographs=True,
            )
        )
    features: list[Picture] = []
    for done, part in enumerate(("train", "test"), 1):
        progress(done, total)
        picture = projection_picture(anchor, exhibits, "train" if part == "train" else "test")
        features += [picture] if picture is not None else []
    if features:
        sections.append(
            Section(f"{anchor}-features-section", "Features in the plane (Figure 6)", pictures=tuple(features))
        )
    ranked: list[Picture] = []
    for number, exhibit in enumerate(exhibits, 1):
        progress(2 + number, total)
        ranked += ranked_pictures(f"{anchor}-ranked-{number}", exhibit)
    sections.append(
        Section(f"{anchor}-ranked-section", "Best and worst queries", pictures=tuple(ranked), photographs=True)
    )
    progress(total, total)
    return sections
