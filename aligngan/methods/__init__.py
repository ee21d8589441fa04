"""The rows of Table 4: which networks, losses and phases make up each method."""
