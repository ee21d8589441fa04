"""`python -m loaders.check`: whether a data set can be trained on, before a training finds out."""
