"""Drop-in for clients of remove.bg: `POST /v1.0/removebg`, `GET /v1.0/account`. `docs/compatibility.md` tells all."""

import base64
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth import Authenticated, Reader, Writer
from api.context import InContext
from api.drop_in import Result, run
from api.foreign_bodies import read_foreign_form
from api.problems import ProblemError
from api.removebg_errors import PREFIX, rate_headers
from api.routes.files import chunks
from jobs.ids import job_public_id
from jobs.removebg import translate
from vision.formats import MEDIA_TYPES

# Not in the OpenAPI document: remove.bg's own reference is what its clients were written by.
router = APIRouter(prefix=PREFIX.rstrip("/"), include_in_schema=False)

_PLENTY = 1_000_000
"""Of credits. None are counted here; clients that look before they send find enough."""
_TYPE = "product"


@router.post("/removebg")
async def remove_background(
    request: Request, context: InContext, who: Authenticated, _writer: Writer, _reader: Reader
) -> Response:
    """Take a photo, wait for its cutout, answer with the file; with `Accept: application/json` in base64."""
    settings = context.settings
    form = await read_foreign_form(request, max_file_bytes=settings.max_upload_bytes)
    try:
        wanted = translate(form.fields, max_megapixels=settings.max_megapixels)
        fields: dict[str, Any] = {"outputs": [wanted.output]}
        if wanted.image_url is not None:
            fields["image_url"] = wanted.image_url
        result = await run(request, context, who, form, fields)
    finally:
        form.close()
    if result.output.bbox_xyxy_px is None:
        result.file.close()
        raise ProblemError("unknown_foreground", "There is no product in the photo.")
    return await run_in_threadpool(_answer, request, result, wants_type=wanted.wants_type)


def _answer(request: Request, result: Result, *, wants_type: bool) -> Response:
    output = result.output
    left, top, right, bottom = output.bbox_xyxy_px or (0, 0, 0, 0)
    box = {"top": top, "left": left, "width": right - left, "height": bottom - top}
    headers = {
        "X-Width": str(output.width),
        "X-Height": str(output.height),
        "X-Credits-Charged": "0",
        "X-Job-Id": job_public_id(result.job_id),
        **{f"X-Foreground-{side.title()}": str(px) for side, px in box.items()},
        **rate_headers(request),
    }
    if wants_type:
        headers["X-Type"] = _TYPE
    if "application/json" in request.headers.get("accept", "").lower():
        with result.file as file:
            encoded = base64.b64encode(file.read()).decode("ascii")
        sides = {f"foreground_{side}": px for side, px in box.items()}
        return JSONResponse({"data": {"result_b64": encoded, **sides}}, headers=headers)
    headers["Content-Length"] = str(output.bytes)
    return StreamingResponse(chunks(result.file), headers=headers, media_type=MEDIA_TYPES[output.format])


@router.get("/account")
def read_account(request: Request, response: Response, _caller: Reader) -> dict[str, Any]:
    """No credits are counted: a balance that never changes."""
    response.headers.update(rate_headers(request))
    credits_ = {"total": _PLENTY, "subscription": 0, "payg": _PLENTY, "enterprise": 0}
    return {"data": {"attributes": {"credits": credits_, "api": {"free_calls": _PLENTY, "sizes": "all"}}}}
