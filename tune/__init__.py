"""Sweeps: many trainings with other weights, and what comes of them."""
