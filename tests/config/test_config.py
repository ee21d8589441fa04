"""A configuration is typed, complete and refused with a remedy before anything starts."""

from pathlib import Path

import pytest

from aligngan.config import ConfigError, dump, preset_names, resolve
from aligngan.config.checks import check
from aligngan.config.keys import accepted, walk
from aligngan.config.schema import Config


def message(*overrides: str, preset: str = "demo", file: str | None = None, checked: bool = False) -> str:
    def build() -> None:
        config = resolve(preset, file, overrides)
        if checked:
            check(config)

    with pytest.raises(ConfigError) as caught:
        build()
    return str(caught.value)


def test_the_presets_are_demo_paper_and_released() -> None:
    assert preset_names() == ["demo", "paper", "released"]


@pytest.mark.parametrize("preset", ["demo", "paper", "released"])
def test_the_printed_yaml_starts_the_same_run_again(preset: str, tmp_path: Path) -> None:
    config = resolve(preset, overrides=["loss.lambda_id_pix=0.25", "data.image_size=[64, 32]"])
    printed = tmp_path / "config.yaml"
    printed.write_text(dump(config), encoding="utf-8")
    for other in preset_names():
        assert resolve(other, str(printed)) == config


def test_overrides_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("loss:\n  lambda_cyc: 3\n  margin: 0.5\ntrain:\n  seed: 7\n", encoding="utf-8")
    config = resolve("demo", str(file), ["loss.margin=0.25"])
    assert (config.loss.lambda_cyc, config.loss.margin, config.train.seed) == (3.0, 0.25, 7)
    assert config.train.iterations == resolve("demo").train.iterations


def test_exponents_without_a_point_are_numbers() -> None:
    assert resolve("demo", overrides=["optimizer.pixel_lr=1e-4"]).optimizer.pixel_lr == 1e-4


def test_a_range_of_workers_is_text_and_not_a_number_in_base_sixty() -> None:
    config = resolve("demo", overrides=["run.workers=1:2"])
    assert (config.run.min_workers, config.run.max_workers, config.run.elastic) == (1, 2, True)
    assert resolve("demo", overrides=["run.workers=4"]).run.workers == 4


@pytest.mark.parametrize("answer", ["auto", "yes", "no"])
def test_yes_and_no_are_words_and_true_and_false_are_truth_values(answer: str) -> None:
    config = resolve("demo", overrides=[f"run.gpu={answer}", "train.channels_last=false"])
    assert (config.run.gpu, config.train.channels_last) == (answer, False)


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert message("loss.lamda_id_pix=1") == "loss.lamda_id_pix: no such key; did you mean loss.lambda_id_pix?"
    assert "did you mean run.workers?" in message("workers=2")
    assert "accepted here: method, data" in message("zzz=1")


@pytest.mark.parametrize(
    ("override", "found", "accepts"),
    [
        ("data.persons_per_batch=many", "'many'", "an integer, at least 2"),
        ("data.persons_per_batch=1", "1", "an integer, at least 2"),
        ("train.seed=true", "True", "an integer"),
        ("loss.margin='1.0'", "'1.0'", "a number"),
        ("method=aligngam", "'aligngam'", "one of aligngan, aligngan-minus"),
        ("data.image_size=[64]", "[64]", "a list of 2, each an integer"),
    ],
)
def test_a_wrong_value_is_refused_naming_key_value_and_what_is_accepted(
    override: str, found: str, accepts: str
) -> None:
    text = message(override)
    assert text.startswith(override.partition("=")[0])
    assert f"found {found}" in text
    assert accepts in text


def test_every_mistake_is_named_at_once() -> None:
    assert len(message("data.flip=2", "loss.margin=x", "train.seed=-1").splitlines()) == 3


def test_an_override_without_a_value_or_an_equals_sign_is_explained() -> None:
    assert "expected key=value" in message("loss.margin")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    assert "no-such.yaml" in message(file=str(tmp_path / "no-such.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1", encoding="utf-8")
    assert "broken.yaml: not YAML" in message(file=str(broken))
    assert "no such preset; there are demo, paper, released" in message(preset="papr")


def test_persons_that_do_not_divide_among_workers_are_refused() -> None:
    text = message("run.workers=4", "data.persons_per_batch=18", checked=True)
    assert "data.persons_per_batch: found 18 persons for run.workers=4" in text
    assert "run.workers may be 1, 2, 3, 6, 9, 18" in text


def test_more_persons_in_a_batch_than_in_the_training_split_are_refused() -> None:
    text = message("data.persons_per_batch=400", checked=True)
    assert "data.persons_per_batch: found 400, accepted: at most the" in text


def test_a_missing_data_set_is_refused_naming_the_folder(tmp_path: Path) -> None:
    assert "data.root: found null, accepted: the folder that holds sysu-mm01" in message(preset="paper", checked=True)
    missing = tmp_path / "nowhere"
    assert f"data.root: no folder {missing}" in message(f"data.root={missing}", preset="paper", checked=True)
    assert f"{tmp_path}/exp/train_id.txt" in message(f"data.root={tmp_path}", preset="paper", checked=True)


def test_warm_up_that_leaves_no_joint_training_is_refused() -> None:
    assert "train.iterations" in message("train.iterations=100", "stages.feature_warmup=100", checked=True)


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    assert "backbone.weights: no file" in message(f"backbone.weights={tmp_path}/w.pth", checked=True)


def test_every_key_is_documented_and_says_what_it_accepts() -> None:
    for key, field in walk(Config):
        assert field.description, key
        assert "<class" not in accepted(field), key
        assert "typing" not in accepted(field), key
