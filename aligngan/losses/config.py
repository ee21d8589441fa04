"""What a user can set about the losses."""

from typing import Literal

from pydantic import BaseModel, Field


class LossSettings(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Terms of Eq. 1 to 10 and their weights."""

    gan_loss: Literal["bce", "lsgan"] = "bce"
    """Form of every adversarial loss: binary cross-entropy on logits, or least squares."""
    margin: float = Field(default=1.0, ge=0)
    """Margin m of the triplet loss (Eq. 3), in cosine similarity."""
    lambda_cyc: float = Field(default=10.0, ge=0)
    """Weight of cycle consistency (Eq. 4)."""
    lambda_id_pix: float = Field(default=1.0, ge=0)
    """Weight lambda_id^pix of the identity terms of the pixel module (Eq. 4)."""
    lambda_gan_feat: float = Field(default=0.1, ge=0)
    """Weight lambda_gan^feat of the adversarial term of the feature module (Eq. 6)."""
    lambda_identity_mapping: float = Field(default=0.0, ge=0)
    """Weight of the L1 loss that keeps a translator from changing pictures of its own output modality; 0 is off."""
    triplet_pix_weight: float = Field(default=0.5, ge=0)
    """What the sum of the two triplet terms of Eq. 2 is multiplied by."""
    cls_feat: Literal["union", "sum"] = "union"
    """Classification loss of Eq. 5: mean over all pictures, or the sum of the two modalities' means."""
    gan_pix_pairs: Literal["both", "real-feature"] = "both"
    """Pairs of Eq. 9: (X'_ir, M_ir) and (X'_ir, M'_ir), or only the one with the real picture's feature map."""
    gan_feat_pairs: Literal["both", "real-image"] = "both"
    """Pairs of Eq. 10: (X_ir, M'_ir) and (X'_ir, M'_ir), or only the one with the real picture."""
    average_directions: bool = False
    """Average cycle, adversarial and identity-mapping terms over the two directions of translation, not sum them."""
