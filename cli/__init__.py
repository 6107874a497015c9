"""The packshot command."""
