"""Client of Packshot: product photos in, packshots out.

from packshot_client import Client

with Client("http://127.0.0.1:8080", key) as client:
    client.cut_out("mug.jpg", to="mug.png")
"""

from packshot_client.aio import AsyncClient
from packshot_client.client import Client
from packshot_client.errors import (
    ApiError,
    AuthenticationError,
    ChecksumError,
    ConflictError,
    FieldProblem,
    GoneError,
    InvalidRequestError,
    JobFailedError,
    NoAnswerError,
    NotFoundError,
    PackshotError,
    PermissionDeniedError,
    Problem,
    RateLimitError,
    ServiceError,
    UnexpectedReplyError,
    WaitTimeoutError,
    WebhookVerificationError,
)
from packshot_client.models import (
    BadLine,
    Batch,
    BatchPlan,
    Cutout,
    Event,
    Job,
    JobInput,
    JobProblem,
    Limits,
    LineReport,
    Matte,
    Model,
    Output,
    Page,
    Put,
    RequestCounts,
    Upload,
)
from packshot_client.options import JobOptions, OutputOptions
from packshot_client.retries import Retries
from packshot_client.version import VERSION
from packshot_client.webhooks import verify_webhook

__version__ = VERSION
__all__ = [
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "BadLine",
    "Batch",
    "BatchPlan",
    "ChecksumError",
    "Client",
    "ConflictError",
    "Cutout",
    "Event",
    "FieldProblem",
    "GoneError",
    "InvalidRequestError",
    "Job",
    "JobFailedError",
    "JobInput",
    "JobOptions",
    "JobProblem",
    "Limits",
    "LineReport",
    "Matte",
    "Model",
    "NoAnswerError",
    "NotFoundError",
    "Output",
    "OutputOptions",
    "PackshotError",
    "Page",
    "PermissionDeniedError",
    "Problem",
    "Put",
    "RateLimitError",
    "RequestCounts",
    "Retries",
    "ServiceError",
    "UnexpectedReplyError",
    "Upload",
    "WaitTimeoutError",
    "WebhookVerificationError",
    "verify_webhook",
]
