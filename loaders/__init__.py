"""Pictures to identity-aligned batches."""
