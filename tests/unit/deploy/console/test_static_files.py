"""The files of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deploy.console.static_files import POLICY, StaticFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    static = tmp_path / "static"
    (static / "views").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / "views" / "live.js").write_text("export {}")
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    return static


async def get(files: StaticFiles, path: str, **headers: str) -> web.Response:
    return await files.handle(make_mocked_request("GET", path, headers=headers))


async def test_file_is_served_by_its_path(folder: Path) -> None:
    files = StaticFiles(folder)
    index, script = await get(files, "/"), await get(files, "/views/live.js")

    assert (index.body, index.content_type, index.charset) == (b"<!doctype html>", "text/html", "utf-8")
    assert (script.body, script.content_type) == (b"export {}", "text/javascript")
    assert index.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/views/../../secret.txt", "//etc/passwd"),
        *("/link.txt", "/views", "/views/", "/.", "/index.html/", "/INDEX.HTML", "/views%2flive.js%00", "/missing.js"),
    ],
)
async def test_other_path_is_not_found(folder: Path, path: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        await get(StaticFiles(folder), path)


async def test_unchanged_file_is_not_sent_again_and_a_changed_one_is(folder: Path) -> None:
    files = StaticFiles(folder)
    tag = (await get(files, "/")).headers["ETag"]
    assert (await get(files, "/", **{"If-None-Match": tag})).status == 304

    (folder / "index.html").write_text("<p>new")
    assert (await get(files, "/", **{"If-None-Match": tag})).body == b"<p>new"


async def test_removed_file_is_not_found(folder: Path) -> None:
    files = StaticFiles(folder)
    (folder / "index.html").unlink()

    with pytest.raises(web.HTTPNotFound):
        await get(files, "/")


def test_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert POLICY.startswith("default-src 'self';")
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
