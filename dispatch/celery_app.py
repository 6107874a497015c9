"""The Celery application object; task bodies are added by the worker."""

from celery import Celery

from config.settings import Settings
from dispatch.names import SWEEP_QUEUE, Bell


def build_celery(settings: Settings) -> Celery:
    """A Celery application on the settings' broker, set so that a message is never more than a doorbell.

    Messages are acknowledged early and results ignored: rows hold the truth, and the sweeper rings again for what
    nobody claimed. The visibility timeout and the restore settings only bound how long a stray message lives
    (kombu scans for lost messages every 100 s otherwise).
    """
    app = Celery("packshot", set_as_current=False)
    app.conf.update(
        broker_url=settings.require_broker_url(),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 60,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "retry_on_timeout": True,
        },
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_create_missing_queues=False,
        task_queues={name: {} for name in (*(bell.value for bell in Bell), SWEEP_QUEUE)},
        task_default_queue=Bell.IO.value,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=True,
        enable_utc=True,
        timezone="UTC",
    )
    return app
