"""Data sets, synthesis, augmentation, losses, training, evaluation and export of the networks."""
