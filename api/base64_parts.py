"""A photo in base64, decoded as it arrives."""

import base64
import binascii

from api.problems import ProblemError

_SPACE = b" \t\r\n"
_QUANTUM = 4
_MOST_PREFIX = 128


class Base64Part:
    """Decodes chunk by chunk; white space and a `data:...;base64,` in front are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_begun = False

    def feed(self, data: bytes) -> bytes:
        """What is whole so far. `ProblemError` `failed_to_read_image`."""
        self._rest += data.translate(None, _SPACE)
        if not self._has_begun:
            if len(self._rest) < _MOST_PREFIX:
                return b""
            self._begin()
        whole = len(self._rest) // _QUANTUM * _QUANTUM
        decoded = _decode(self._rest[:whole])
        self._rest = self._rest[whole:]
        return decoded

    def end(self) -> bytes:
        """The last bytes. `ProblemError` `failed_to_read_image` where something is missing."""
        if not self._has_begun:
            self._begin()
        return _decode(self._rest)

    def _begin(self) -> None:
        self._has_begun = True
        if self._rest.startswith(b"data:"):
            _, comma, self._rest = self._rest.partition(b",")
            if not comma:
                raise _no_base64()


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _no_base64() from error


def _no_base64() -> ProblemError:
    return ProblemError("failed_to_read_image", "The photo is not in base64.")
