"""Takes secrets out of what is logged: the last guard, behind code that does not log them in the first place."""

import re
from collections.abc import Mapping

_MARK = "[redacted]"

# Each pattern keeps what comes before the secret as its first group. A query string may sign a URL (ours, and those
# of object stores), so all of it goes; so does what stands before the @ of a URL.
_SECRETS = re.compile(
    r"""
      (\bpk_[a-z]+_[A-Za-z0-9]+_)[A-Za-z0-9_-]+                   # an API key: its public part stays
    | (\bwhsec_)[A-Za-z0-9+/=_-]+                                 # a webhook's secret
    | (\bv1,)[A-Za-z0-9+/]{20,}={0,2}                             # a webhook's signature
    | (\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}               # an Authorization header
    | (\b[a-z][a-z0-9+.-]*://)[^\s/?\#@"'\\]*(?:[^\s/?\#"'\\]*@)  # user and password of a URL
    | (\b(?:password|passwd|pwd|secret_access_key|secret|token|api_key)["']?\s*[=:]\s*["']?)[^\s"'&,;)}\\\]]+
    | (\?)(?=[\w.%~\[\]-]+=)[^\s"'<>\\]+                          # a query string
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What every match has in it; most texts have none of these.
_HINTS = re.compile(r"pk_|whsec_|v1,|bearer|basic|@|passw|pwd|secret|token|api_key|\?", re.IGNORECASE)


_SECRET_NAMES = frozenset({"password", "secret", "token", "api_key", "authorization", "cookie"})


def scrub(text: str) -> str:
    """The text without API keys, webhook secrets and signatures, passwords, credentials and query strings in it."""
    if not _HINTS.search(text):
        return text
    return _SECRETS.sub(lambda match: next(filter(None, match.groups())) + _MARK, text)


def scrub_value(name: object, value: object) -> object:
    """The value of a name as it may be logged: its texts scrubbed, whatever else it is as text if JSON has no such."""
    if isinstance(name, str) and name.lower() in _SECRET_NAMES:
        return _MARK
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return scrub(value)
        case Mapping():
            return {scrub(str(key)): scrub_value(key, each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [scrub_value(None, each) for each in value]
    return scrub(repr(value))
