"""Data sets, synthesis, losses, training and evaluation of the networks."""
