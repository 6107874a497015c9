"""Networks that tell product from background."""
