"""Pure functions on arrays and tensors; knows no service."""
