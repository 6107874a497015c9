"""What API and workers both need to send: the Celery app, task names, queues, doorbells."""
