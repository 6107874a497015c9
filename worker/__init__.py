"""Celery only: GPU pinning, thin tasks, the microbatch pipeline, webhook delivery, the sweeper."""
