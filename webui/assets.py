"""Style sheets, scripts and icons as browsers get them.

Guarantees: only what lies in `static` when the server starts is served; an address made by `url` names
the version of all files together, so a browser keeps it for good and a new release is seen at once; a
browser that takes gzip gets it, compressed once. Scripts that import each other stay in one version,
since they do it by relative addresses. Any other address of a file is asked about again each time.

What third parties wrote is put there when the package is built: webui/vendoring.py.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath

from kernel.errors import NotFound, Unavailable

_ROOT: Final = Path(__file__).parent / "static"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_COMPRESSED: Final = frozenset({".css", ".js", ".svg", ".html", ".json", ".webmanifest"})
_KINDS: Final = {".js": "text/javascript; charset=utf-8", ".webmanifest": "application/manifest+json"}
_VERSION_CHARS: Final = 12


@dataclass(slots=True)
class Asset:
    """One file. `etag` is weak: compressed or not, it says the same."""

    body: bytes
    kind: str
    etag: str
    compressible: bool
    _packed: bytes = field(default=b"", init=False)

    @property
    def packed(self) -> bytes:
        if not self._packed:
            self._packed = gzip.compress(self.body, 9, mtime=0)
        return self._packed


@dataclass(frozen=True, slots=True)
class Shelf:
    """All files by their path below `static`, and the version of them together."""

    files: dict[str, Asset]
    version: str

    def url(self, path: str) -> str:
        """The address that a page names. Raises: Unavailable, for a file that is not there."""
        if path not in self.files:
            raise Unavailable(
                f"the pages' file {path!r} is not in place",
                remedy="install again: `pip install -e .` in a checkout puts it there, a wheel holds it",
            )
        return f"/static/{self.version}/{path}"

    def find(self, path: str) -> tuple[Asset, bool]:
        """The file of an address below /static/, and whether that address is of this version.

        Raises: NotFound.
        """
        version, _, rest = path.partition("/")
        ours = version == self.version
        asset = self.files.get(rest if ours else path)
        if asset is None:
            raise NotFound(f"there is no file {path!r}", remedy="load the page again: it may be of an older release")
        return asset, ours


def read_shelf(root: Path) -> Shelf:
    """Read every file below `root`. Blocks: call it once, at start."""
    files: dict[str, Asset] = {}
    whole = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        name = path.relative_to(root).as_posix()
        whole.update(f"{name}\0{digest}\0".encode())
        kind = _KINDS.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        files[name] = Asset(body, kind, f'W/"{digest[:32]}"', compressible=path.suffix in _COMPRESSED)
    return Shelf(files, whole.hexdigest()[:_VERSION_CHARS])


@cache
def shelf() -> Shelf:
    """The package's own."""
    return read_shelf(_ROOT)


def url(path: str) -> str:
    return shelf().url(path)


@get("/static/{file:path}", include_in_schema=False, sync_to_thread=False)
def static_file(request: Request[Any, Any, Any], file: FromPath[str]) -> Response[bytes]:
    """Raises: NotFound."""
    asset, ours = shelf().find(file.removeprefix("/"))
    packed = asset.compressible and "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": _FOR_GOOD if ours else _ASK_AGAIN, "ETag": asset.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(b"", status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.body, media_type=asset.kind, headers=headers)
