"""The rules of a job's life; no transport."""
