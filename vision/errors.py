"""What a picture can do wrong, with the code that callers see."""

from typing import Literal, TypeAlias

ImageErrorCode: TypeAlias = Literal[
    "failed_to_read_image",
    "invalid_file_type",
    "animated_image",
    "resolution_too_high",
    "file_too_large",
    "roi_exceeds_bounds",
    "roi_region_empty",
    "output_too_large",
]


class ImageError(Exception):
    """This picture cannot be used; the same bytes fail again.

    `code` is stable and part of the API, `detail` is one sentence for a person and holds nothing of the file but
    sizes and format names.
    """

    def __init__(self, code: ImageErrorCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code: ImageErrorCode = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
