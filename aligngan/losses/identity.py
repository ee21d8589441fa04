"""Identity losses: cross-entropy and the batch-hard triplet loss on cosine similarity (Eq. 2, 3 and 5)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from aligngan.losses.precise import precise

_SHORTEST = 1e-12


def classification(logits: Tensor, labels: Tensor) -> Tensor:
    """Return L_cls, the mean cross-entropy -log p(label) of logits [N, identities] and labels int64 [N] (Eq. 2, 5)."""
    return F.cross_entropy(precise(logits), labels)


def loss_cls_feat(ir: Tensor, fake_ir: Tensor, labels: Tensor, form: str) -> Tensor:
    """Return Eq. 5's classification term from the logits of both modalities, [N, identities] each.

    `union` is the mean over X_ir and X'_ir together, as the paper writes; `sum` adds the two means.
    """
    total = classification(ir, labels) + classification(fake_ir, labels)
    return total / 2 if form == "union" else total


def triplet(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    anchor_labels: Tensor,
    positive_labels: Tensor,
    negative_labels: Tensor,
    margin: float,
) -> Tensor:
    """Return L_tri(X_1, X_2, X_3) of Eq. 3, batch-hard: mean over anchors of max(0, m - S(a, p) + S(a, n)).

    S is cosine similarity, p the least similar row of X_2 with the anchor's identity, n the most similar row of X_3
    with another. An anchor without a positive or a negative is left out; with no anchor left the loss is 0.

    Args:
        anchors, positives, negatives: embeddings [A, E], [P, E] and [Q, E]; a zero row has S = 0 with every row.
        anchor_labels, positive_labels, negative_labels: identities int64 [A], [P] and [Q].
        margin: m.
    """
    same = anchor_labels[:, None] == positive_labels[None, :]
    other = anchor_labels[:, None] != negative_labels[None, :]
    hardest_positive = _similarities(anchors, positives).masked_fill(~same, 2.0).amin(dim=1)
    hardest_negative = _similarities(anchors, negatives).masked_fill(~other, -2.0).amax(dim=1)
    counted = same.any(dim=1) & other.any(dim=1)
    terms = F.relu(margin - hardest_positive + hardest_negative) * counted
    return terms.sum() / counted.sum().clamp_min(1)


def loss_tri_feat(ir: Tensor, fake_ir: Tensor, ir_labels: Tensor, fake_labels: Tensor, margin: float) -> Tensor:
    """Return Eq. 5's triplet term, L_tri(X_ir, X'_ir, X'_ir) + L_tri(X'_ir, X_ir, X_ir), from embeddings [N, E]."""
    return triplet(ir, fake_ir, fake_ir, ir_labels, fake_labels, fake_labels, margin) + triplet(
        fake_ir, ir, ir, fake_labels, ir_labels, ir_labels, margin
    )


def loss_tri_pix(
    ir: Tensor, fake_ir: Tensor, ir_labels: Tensor, fake_labels: Tensor, margin: float, weight: float = 0.5
) -> Tensor:
    """Return Eq. 2's triplet term: the two terms of Eq. 5 times `weight`, one half in the paper."""
    return weight * loss_tri_feat(ir, fake_ir, ir_labels, fake_labels, margin)


def _similarities(left: Tensor, right: Tensor) -> Tensor:
    """Cosine similarities [A, B] of rows [A, E] and [B, E]."""
    # Autocast would multiply in bfloat16, whatever the type of the rows.
    with torch.autocast(left.device.type, enabled=False):
        return _unit_rows(left) @ _unit_rows(right).T


def _unit_rows(rows: Tensor) -> Tensor:
    """Rows scaled to length 1; one shorter than 1e-12 becomes zero and has no gradient, where it would be endless."""
    rows = precise(rows)
    squares = rows.square().sum(dim=1, keepdim=True)
    zero = squares <= _SHORTEST**2
    return torch.where(zero, torch.zeros_like(rows), rows * torch.where(zero, 1.0, squares).rsqrt())
