"""The files of the page. Only those that exist at the start are served, each by its exact path."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from aiohttp import hdrs, web

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts, styles and requests of this origin only, nothing inline, no frames, and no text that becomes HTML."""
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json"}
"""Of suffixes for which the system's table may have another type."""


class StaticFiles:
    """The files below *folder*, by the path of their URL. A changed file is read again; a new one needs a restart."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        self._files = {path.relative_to(folder).as_posix(): path for path in files}

    @property
    def paths(self) -> frozenset[str]:
        """The paths of the files, without the first slash."""
        return frozenset(self._files)

    async def handle(self, request: web.Request) -> web.Response:
        """Return the file of the request's path."""
        path = self._files.get(request.path.removeprefix("/") or INDEX)
        try:
            content = None if path is None else path.read_bytes()
        except OSError:
            content = None
        if path is None or content is None:
            raise web.HTTPNotFound
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache", "Content-Security-Policy": POLICY}
        if request.headers.get(hdrs.IF_NONE_MATCH) == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, headers={**headers, hdrs.CONTENT_TYPE: _content_type(path)})


def _content_type(path: Path) -> str:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    is_text = kind.startswith("text/") or kind == "application/json"
    return f"{kind}; charset=utf-8" if is_text else kind
