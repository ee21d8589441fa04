"""All dashboards."""

from cluster.monitoring import board_cluster, board_sweep, board_training
from cluster.monitoring.panels import Board

BOARDS: tuple[Board, ...] = (board_training.BOARD, board_cluster.BOARD, board_sweep.BOARD)
