"""`python -m aligngan.report` makes one page and its files, the same each time, and says what it leaves out."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from aligngan.report import main
from aligngan.reporting.output import FolderInUse, open_folder, write_report
from aligngan.reporting.page import Section, render_page
from aligngan.reporting.table import Row, Table, Value
from tests.reporting.fabricated import make_run, small_run_config


class Page(HTMLParser):
    """Everything that an accessible page without outside resources is judged by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_synthetic: list[str]) -> list[str]:
    """Two methods of two seeds each."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / f"{method}-{seed}", small_run_config(method, seed, small_synthetic))
        for method in ("aligngan", "baseline")
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, runs: list[str]) -> Path:
    out = tmp_path_factory.mktemp("report")
    assert main([*runs, "--out", str(out)]) == 0
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_table_and_picture_of_the_paper_is_there_as_png_and_svg(report: Path) -> None:
    names = {
        *("methods", "methods-points", "all", "indoor", "similarity", "runs", "scores", "losses", "discriminators"),
        *("gradients", "learning-rates", "translations", "features-train", "features-test"),
        *(f"ranked-{number}-{which}" for number in (1, 2) for which in ("best", "worst")),
    }
    found = {path.name for path in (report / "pictures").iterdir()}
    assert found == {f"synthetic-{name}.{kind}" for name in names for kind in ("png", "svg")}
    for path in (report / "pictures").glob("*.svg"):
        ElementTree.parse(path)
    tables = {path.name for path in (report / "tables").iterdir()}
    assert tables == {f"synthetic-{name}.csv" for name in ("methods", "all", "indoor", "similarity", "runs")}


def test_the_page_needs_no_other_file_and_no_script(report: Path) -> None:
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    addresses = [value for _, each in page.tags for key, value in each.items() if key in ("src", "href", "srcset")]
    assert addresses
    assert all(address and address.startswith(("data:image/", "#")) for address in addresses)
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in (report / "index.html").read_text(encoding="utf-8").partition("</style>")[0]


def test_the_page_can_be_read_without_seeing_its_pictures(report: Path) -> None:
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("img")) == len(page.all("figcaption")) > 10
    assert all(len(image["alt"] or "") > 20 for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) == 5
    assert all(head.get("scope") for head in page.all("th"))
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in names}


def test_scores_in_the_page_are_those_of_the_runs(report: Path, runs: list[str]) -> None:
    scores = [json.loads(Path(run, "scores.json").read_text())["searches"][0]["mean"]["R1"] for run in runs[:2]]
    page = (report / "index.html").read_text(encoding="utf-8")
    assert f"{sum(scores) / 2:.1f} \u00b1 " in page
    assert f"{scores[0]:.2f}" in page


def test_the_same_runs_give_the_same_bytes_in_another_process(report: Path, runs: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aligngan.report", *runs, "--out", str(tmp_path / "again")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert files_of(report) == files_of(tmp_path / "again")


def test_what_a_run_lacks_is_said_and_the_rest_is_reported(
    runs: list[str], small_synthetic: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_run_config("pixalign", 0, small_synthetic)
    bare = make_run(tmp_path / "bare", config, scores=False, checkpoint=False)
    assert main([runs[2], bare, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "bare has no scores.json" in printed
    assert "bare has no whole checkpoint" in printed
    page = Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    assert "bare has no whole checkpoint" in page.text
    losses = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "for baseline, pixalign." in losses
    assert not (tmp_path / "out" / "pictures" / "synthetic-translations.png").exists()


def test_a_data_set_that_is_gone_leaves_tables_and_curves(
    tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[2], run)
    text = (run / "config.yaml").read_text().replace("name: synthetic", "name: sysu-mm01")
    (run / "config.yaml").write_text(text)
    assert main([str(run), "--out", str(tmp_path / "out"), "--data", str(tmp_path / "none")]) == 0
    printed = capsys.readouterr().out
    assert "translations, features and ranked lists need its pictures" in printed
    assert str(tmp_path / "none") in printed
    assert (tmp_path / "out" / "pictures" / "sysu-mm01-losses.svg").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "no such folder"),
        ("empty", "not a run: it has no config.yaml"),
        ("parent", "a folder of runs: name them (run)"),
        ("foreign", "config.yaml is not a run's configuration: metod: no such key"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_before_anything_is_written(
    name: str, says: str, tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.yaml").write_text("metod: aligngan\n")
    (tmp_path / "parent" / "run").mkdir(parents=True)
    shutil.copy(Path(runs[0], "config.yaml"), tmp_path / "parent" / "run")
    assert main([runs[0], str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / name) in error
    assert says in error
    assert not (tmp_path / "out").exists()


def test_a_run_named_twice_is_refused(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([runs[0], runs[0] + "/", "--out", str(tmp_path / "out")]) == 2
    assert "named 2 times" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FolderInUse, match=r"thesis\.tex, which is not a report"):
        open_folder(str(tmp_path))


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    def section(name: str) -> Section:
        return Section(name, name, tables=(Table(name, name, "c", ("a",), (Row("r", (Value(1.0),)),)),))

    out = tmp_path / "out"
    write_report(open_folder(str(out)), "t", "l", [section("old"), section("both")])
    (tmp_path / "outside.csv").write_text("mine")
    (out / "tables" / "mine.csv").write_text("mine")
    contents = json.loads((out / "report.json").read_text())
    contents["files"].append("../outside.csv")
    (out / "report.json").write_text(json.dumps(contents))
    write_report(open_folder(str(out)), "t", "l", [section("both"), section("new")])
    assert (tmp_path / "outside.csv").exists()
    assert {path.name for path in (out / "tables").iterdir()} == {"mine.csv", "both.csv", "new.csv"}


def test_names_in_a_page_are_text_and_not_markup() -> None:
    page = render_page("<b>t</b>", "l", [Section("a", "<script>x</script>")], ["<i>run</i>"]).decode()
    assert "<script>" not in page
    assert "&lt;i&gt;run&lt;/i&gt;" in page


def test_two_sections_with_one_anchor_are_refused() -> None:
    with pytest.raises(ValueError, match="an anchor of its own"):
        render_page("t", "l", [Section("a", "A", sections=(Section("a", "B"),))])


def test_help_teaches_with_an_example_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom aligngan.report import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'ray', 'torch', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert "python -m aligngan.report runs/* --out report" in out
    assert out.endswith("set()\n")
