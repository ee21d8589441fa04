"""Examination of a cluster before a training is trusted to it."""
