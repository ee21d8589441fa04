"""The loop on one worker: batch in, phases in turn, progress, checkpoint, evaluation."""
