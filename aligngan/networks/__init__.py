"""The networks, which know nothing of training. Pictures are float [N, 3, H, W] in [-1, 1]."""
