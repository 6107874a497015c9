"""Codes of webhooks and of the service as a whole."""

from api.kinds.kind import Kind

WEBHOOKS: dict[str, Kind] = {
    "endpoint_disabled": Kind(
        409,
        "The webhook endpoint is disabled.",
        "Its owner disabled it, it answered 410, every call failed for days, or its listener went away.",
        "Mend the receiver, then `PATCH` the endpoint with `is_enabled: true`; `/replay-failed` sends what was missed.",
    ),
    "endpoint_is_called": Kind(
        409,
        "The endpoint's events can't be pulled.",
        "It has a URL: its events are sent there.",
        "Register an endpoint with `url: null` to pull from.",
    ),
    "endpoint_is_pulled": Kind(
        409,
        "The endpoint can't be given a URL.",
        "It was made without one; its events are pulled.",
        "Register another endpoint with the URL and delete this one.",
    ),
    "too_many_endpoints": Kind(
        409,
        "The key has as many webhook endpoints as it may.",
        "Each event is matched with every endpoint of its key; 20 is the limit.",
        "Delete one that is not needed, or widen the `events` of another.",
    ),
}

SERVICE: dict[str, Kind] = {
    "rembg_off": Kind(
        403,
        "The drop-in for rembg is off.",
        "`PACKSHOT_REMBG_KEY` is not set, or names no live key with the scopes `jobs:read` and `jobs:write`.",
        "The operator names a key; anybody who reaches the service then acts as that key.",
    ),
    "database_unavailable": Kind(
        503,
        "The database is away.",
        "PostgreSQL can't be reached or is overloaded. After a submission it may be open whether the job exists.",
        "Try again after `Retry-After`.",
        retryable=True,
    ),
    "too_many_waiting": Kind(
        503,
        "Too many requests wait here.",
        "As many requests as the operator allows (`PACKSHOT_MAX_WAITING`) wait for a change on this API process.",
        "Poll without `wait`, at the pace that `Retry-After` names, or use a webhook.",
        retryable=True,
    ),
    "storage_unavailable": Kind(
        503,
        "The file store is away.",
        "The store of photos and results can't be reached or is full.",
        "Try again after `Retry-After`; the operator looks at the disk.",
        retryable=True,
    ),
    "service_not_ready": Kind(
        503,
        "The service is not ready.",
        "`/readyz`: database or store do not work; `checks` says which.",
        "For load balancers: send requests elsewhere.",
        retryable=True,
    ),
    "internal_error": Kind(
        500,
        "Something went wrong on our side.",
        "A defect of the service.",
        "Tell the operator the `request_id`, or the job's id.",
        retryable=True,
    ),
}
