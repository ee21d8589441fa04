"""The evaluation protocols of the data sets, each with its own rule of who is compared with whom."""

from aligngan.protocols.plain import evaluate_plain
from aligngan.protocols.regdb import evaluate_regdb
from aligngan.protocols.result import ProtocolScores
from aligngan.protocols.sysu_mm01 import PLACE_OF_CAMERA, evaluate_sysu_mm01, sysu_places

__all__ = ["PLACE_OF_CAMERA", "ProtocolScores", "evaluate_plain", "evaluate_regdb", "evaluate_sysu_mm01", "sysu_places"]
