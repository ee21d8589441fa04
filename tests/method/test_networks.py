"""The networks: their shapes, their layout of parameters, and where the backbone's weights come from."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from aligngan.networks.backbone import FeatureGenerator, pool
from aligngan.networks.config import BackboneSettings, DiscriminatorSettings, HeadSettings, TranslatorSettings
from aligngan.networks.discriminators import FeatureDiscriminator, ImageDiscriminator, JointDiscriminator
from aligngan.networks.heads import Classifier
from aligngan.networks.translator import Translator
from tests.method.small import judged

SIZES = [(128, 128), (64, 64), (64, 32), (32, 32), (16, 16), (24, 8)]


def test_a_translator_keeps_the_size_and_range_of_pictures() -> None:
    translator = Translator(TranslatorSettings(width=4, blocks=1))
    pictures = translator(torch.rand(2, 3, 64, 32) * 2 - 1)
    assert pictures.shape == (2, 3, 64, 32)
    assert pictures.abs().max() <= 1


def test_a_translator_has_the_parameters_of_the_released_weights() -> None:
    """7x7, two down, four residual blocks, two up, 7x7; no bias; an affine norm after all but the last."""
    found = {key: tuple(value.shape) for key, value in Translator(TranslatorSettings()).state_dict().items()}
    expected: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        expected[f"{name}.weight"] = expected[f"{name}.bias"] = (channels,)

    convolutions = {
        0: (64, 3, 7, 7),
        3: (128, 64, 4, 4),
        6: (256, 128, 4, 4),
        13: (256, 128, 4, 4),
        16: (128, 64, 4, 4),
    }
    for place, shape in convolutions.items():
        expected[f"model.{place}.weight"] = shape
        norm(f"model.{place + 1}", shape[0] if place < 10 else shape[1])
    for place in range(9, 13):
        for layer in (0, 3):
            expected[f"model.{place}.model.{layer}.weight"] = (256, 256, 3, 3)
            norm(f"model.{place}.model.{layer + 1}", 256)
    expected["model.19.weight"] = (3, 64, 7, 7)
    assert found == expected


@pytest.mark.parametrize("running", [False, True])
def test_running_statistics_make_a_translator_differ_in_evaluation(running: bool) -> None:
    translator = Translator(TranslatorSettings(width=4, blocks=1, running_statistics=running))
    pictures = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(translator(pictures), translator.eval()(pictures)) is not running


def test_the_joint_discriminator_is_the_papers_at_the_papers_size() -> None:
    judge = JointDiscriminator(DiscriminatorSettings(), (128, 128), channels=2048)
    shapes = {key: tuple(value.shape) for key, value in judge.state_dict().items() if key.endswith("weight")}
    assert shapes == {
        "image_convs.0.weight": (64, 3, 4, 4),
        "image_convs.2.weight": (128, 64, 4, 4),
        "image_convs.5.weight": (256, 128, 4, 4),
        "feature_convs.0.weight": (64, 2048, 1, 1),
        "dis_convs.0.weight": (512, 320, 4, 4),
        "dis_convs.3.weight": (1024, 512, 4, 4),
        "conv_src.weight": (1, 1024, 3, 3),
    }
    assert judged(judge, torch.zeros(2, 3, 128, 128), torch.zeros(2, 2048, 24, 12)).shape == (2, 1, 4, 4)
    assert ImageDiscriminator(DiscriminatorSettings(), (128, 128))(torch.zeros(2, 3, 128, 128)).shape == (2, 1, 4, 4)


@pytest.mark.parametrize("size", SIZES)
def test_discriminators_see_their_input_at_any_size(size: tuple[int, int]) -> None:
    """Normalising a map of one pixel would leave nothing of the picture: the judgement has to depend on it."""
    torch.manual_seed(0)
    settings = DiscriminatorSettings(width=4)
    image, joint = ImageDiscriminator(settings, size), JointDiscriminator(settings, size, channels=8)
    pictures = torch.rand(2, 3, *size) * 2 - 1
    for map_size in ((24, 12), (2, 1), (1, 1)):
        maps = torch.rand(2, 8, *map_size)
        feature = FeatureDiscriminator(settings, map_size, channels=8)
        for judgements in (image(pictures), judged(joint, pictures, maps), feature(maps)):
            assert judgements.shape[:2] == (2, 1)
            assert min(judgements.shape[2:]) >= 1
            assert (judgements[0] - judgements[1]).abs().max() > 1e-3 * judgements.abs().max()


def test_the_joint_discriminator_looks_at_the_picture_and_at_the_map() -> None:
    judge = JointDiscriminator(DiscriminatorSettings(width=4), (32, 32), channels=8)
    picture, other = torch.rand(2, 1, 3, 32, 32)
    maps, others = torch.rand(2, 1, 8, 4, 2)
    assert not torch.equal(judged(judge, picture, maps), judged(judge, other, maps))
    assert not torch.equal(judged(judge, picture, maps), judged(judge, picture, others))


@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet50"])
def test_the_feature_map_keeps_the_resolution_of_the_third_stage(name: str) -> None:
    generator = FeatureGenerator(BackboneSettings.model_validate({"name": name, "weights": "none"}))
    maps = generator.eval()(torch.rand(1, 3, 64, 64))
    assert maps.shape == (1, generator.channels, 24, 12)
    assert generator.map_size == (24, 12)
    assert generator.channels == (2048 if name == "resnet50" else 512)


@pytest.mark.parametrize("size", [(32, 16), (40, 24), (70, 34)])
def test_the_map_size_is_known_before_the_first_picture(size: tuple[int, int]) -> None:
    generator = FeatureGenerator(BackboneSettings(name="resnet10", weights="none", image_size=size)).eval()
    assert generator(torch.zeros(1, 3, 16, 16)).shape[2:] == generator.map_size


def test_the_backbone_sees_pictures_as_imagenet_training_did() -> None:
    generator = FeatureGenerator(BackboneSettings(name="resnet10", weights="none", image_size=(32, 16))).eval()
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 16)
    black = generator.trunk(torch.zeros(1, 3, 32, 16))
    assert torch.allclose(generator(grey * 2 - 1), black, atol=1e-6)


def test_the_feature_is_the_mean_over_space_in_float32() -> None:
    maps = torch.rand(2, 5, 3, 2).bfloat16()
    assert pool(maps).dtype == torch.float32
    assert torch.allclose(pool(maps), maps.float().flatten(2).mean(2))


def weights_file(folder: Path, classes: int = 1000) -> str:
    torch.manual_seed(7)
    path = str(folder / "weights.pth")
    torch.save(torchvision.models.resnet18(num_classes=classes).state_dict(), path)
    return path


@pytest.mark.parametrize("classes", [1000, 7])
def test_a_weights_file_fills_the_backbone_whatever_its_classes(tmp_path: Path, classes: int) -> None:
    path = weights_file(tmp_path, classes)
    generator = FeatureGenerator(BackboneSettings(name="resnet18", weights=path))
    found, given = generator.state_dict(), torch.load(path)
    assert torch.equal(found["trunk.0.weight"], given["conv1.weight"])
    assert torch.equal(found["trunk.7.1.conv2.weight"], given["layer4.1.conv2.weight"])


def test_a_weights_file_that_does_not_fit_is_named_with_what_it_should_be(tmp_path: Path) -> None:
    other, text, state = weights_file(tmp_path), tmp_path / "notes.pth", tmp_path / "state.pth"
    text.write_text("no weights")
    torch.save({"weight": torch.zeros(1)}, state)
    cases = {"resnet34": (other, "does not fit backbone.name=resnet34"), "resnet18": (str(text), "torch.save")}
    for name, (path, message) in cases.items():
        with pytest.raises(ValueError, match=message) as raised:
            FeatureGenerator(BackboneSettings.model_validate({"name": name, "weights": path}))
        assert path in str(raised.value)
    with pytest.raises(ValueError, match="no conv1"):
        FeatureGenerator(BackboneSettings(name="resnet18", weights=str(state)))


def test_without_a_network_the_message_says_how_to_give_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match="weights=PATH"):
        FeatureGenerator(BackboneSettings(name="resnet18", weights="imagenet"))
    with pytest.raises(ValueError, match="resnet10"):
        FeatureGenerator(BackboneSettings(name="resnet10", weights="imagenet"))


def test_initial_weights_are_drawn_as_the_recipe_says_and_from_torchs_generator() -> None:
    def draw() -> tuple[Translator, Classifier]:
        torch.manual_seed(3)
        return Translator(TranslatorSettings(width=16)), Classifier(256, 50, HeadSettings())

    (translator, classifier), (again, _) = draw(), draw()
    weights = translator.state_dict()["model.3.weight"]
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert classifier.classifier.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert torch.equal(weights, again.state_dict()["model.3.weight"])


def test_dropout_acts_on_the_feature_or_after_the_bottlenecks_norm() -> None:
    for place in ("feature", "bottleneck"):
        classifier = Classifier(8, 3, HeadSettings.model_validate({"dropout_on": place, "dropout": 0.5}))
        seen: list[torch.Tensor] = []
        classifier.bottle[1].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        classifier(torch.ones(64, 8))
        # Equal rows stay equal up to the norm unless something was dropped before it.
        assert (seen[0] == seen[0][0]).all().item() is (place == "bottleneck")
