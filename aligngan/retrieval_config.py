"""What a user can set about evaluation: when retrieval is scored, on which searches and how."""

from typing import Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator


class EvaluationSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """When and how retrieval is scored on the test persons."""

    every: int = Field(default=0, ge=0)
    """Iterations between two evaluations; 0 evaluates only at the end."""
    before_training: bool = False
    """Also score the networks as they are before the first iteration."""
    modes: tuple[Literal["all", "indoor"], ...] = ("all", "indoor")
    """SYSU-MM01 searches: RGB cameras 1, 2, 4, 5 (`all`) or 1, 2 (`indoor`)."""
    shots: tuple[Literal["single", "multi"], ...] = ("single", "multi")
    """SYSU-MM01 gallery pictures of each person and camera: one (`single`) or ten (`multi`)."""
    gallery_draw: Literal["official", "random-seed"] = "official"
    """SYSU-MM01 gallery: the published permutations, or `random.seed(trial)` as other code does (single-shot only)."""
    flip: bool = False
    """Add the feature of the mirrored picture: V(x) + V(flip x), L2-normalised."""
    re_ranking: Literal["none", "k-reciprocal"] = "none"
    """Reorder the gallery by k-reciprocal neighbours, which uses all probes together; always labelled in the scores."""
    batch_size: int = Field(default=64, ge=1)
    """Pictures per forward pass on each worker."""

    @field_validator("modes", "shots")
    @classmethod
    def _named_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("name at least one, and each only once")
        return values

    @field_validator("gallery_draw")
    @classmethod
    def _draw_fits_shots(cls, draw: str, info: ValidationInfo) -> str:
        if draw == "random-seed" and "multi" in info.data.get("shots", ()):
            raise ValueError("random-seed draws one picture per camera, so shots must be [single]")
        return draw
