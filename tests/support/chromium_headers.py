"""Headers that Chromium 156 sends and other programs do not, recorded for each way in which a page sends a request.

`tests/hostile/test_browser.py` compares them with the installed Chromium. `redirect` is an address that somebody opens
and that redirects: it has the headers of an address that somebody types.
"""

from __future__ import annotations


def _fetch(site: str, mode: str, destination: str) -> dict[str, str]:
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}


_ORIGIN = {"Origin": "http://page.example"}
_TYPED = {**_fetch("none", "navigate", "document"), "Sec-Fetch-User": "?1"}

HEADERS = {
    "img": _fetch("cross-site", "no-cors", "image"),
    "script": _fetch("cross-site", "no-cors", "script"),
    "css": _fetch("cross-site", "no-cors", "style"),
    "iframe": _fetch("cross-site", "navigate", "iframe"),
    "sandboxed iframe": _fetch("cross-site", "navigate", "iframe"),
    "fetch": _fetch("cross-site", "no-cors", "empty"),
    "navigation": _fetch("cross-site", "navigate", "document"),
    "meta refresh": _fetch("cross-site", "navigate", "document"),
    "form": _fetch("cross-site", "navigate", "document"),
    "fetch POST": {**_ORIGIN, **_fetch("cross-site", "no-cors", "empty")},
    "form POST": {"Origin": "null", **_fetch("cross-site", "navigate", "document")},
    "beacon": {**_ORIGIN, **_fetch("cross-site", "no-cors", "empty")},
    "websocket": _ORIGIN,
    "redirect": _TYPED,
    "typed": _TYPED,
}
