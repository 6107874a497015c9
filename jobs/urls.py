"""What may be told of a URL that somebody gave."""

from urllib.parse import urlsplit


def bare_url(url: str) -> str:
    """Scheme, host and path: without user and password, and without the query, which may be a signature.

    `ValueError` where it is malformed.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
