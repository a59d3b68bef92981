"""Methods without a network that people trust, to stand beside the networks. NumPy alone."""
