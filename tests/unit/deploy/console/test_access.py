"""Who sees which project."""

from __future__ import annotations

import time

import pytest
from aiohttp.test_utils import make_mocked_request

from deploy.console.access import Access, Viewer
from deploy.console.errors import BusyError, ForbiddenError, LoginError, UnknownError
from deploy.console.session import COOKIE, Sessions
from schemas.project_table import ProjectTable
from schemas.projects import (
    Disabled,
    ProjectCreation,
    Revocation,
    Scope,
    describe_token,
    digest,
    encode_entry,
    new_token,
)

READ, WRITE, OPERATE = new_token("dev"), new_token("dev"), new_token("")


class Known:
    """Two projects, and a token of each scope."""

    def __init__(self) -> None:
        self.table: ProjectTable | None = ProjectTable()
        for project in ("dev", "other"):
            self.apply(*encode_entry(ProjectCreation(project, project.title(), 1), project, "1"))
        scopes: dict[str, tuple[str, Scope]] = {
            READ: ("dev", "read"),
            WRITE: ("dev", "write"),
            OPERATE: ("", "operate"),
        }
        for token, (project, scope) in scopes.items():
            created = describe_token(token, project, created_at=1, scope=scope)
            self.apply(*encode_entry(created, digest(token), "1"))

    def apply(self, key: bytes, value: bytes) -> None:
        assert self.table is not None
        self.table.apply(key, value)


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def access(known: Known) -> Access:
    return Access(known, Sessions("secret"))


def viewer(access: Access, **headers: str) -> Viewer:
    return access.viewer(make_mocked_request("GET", "/api/events", headers=headers))


def test_read_token_sees_its_project(access: Access) -> None:
    found = viewer(access, Authorization=f"Bearer {READ}")

    assert (found.scope, found.project_id) == ("read", "dev")
    assert access.project(found, "") == access.project(found, "dev") == "dev"
    assert [each.id for each in access.projects(found)] == ["dev"]


@pytest.mark.parametrize("asked", ["other", "missing", "DEV", "dev2", "*", "%"])
def test_read_token_is_refused_for_another_project_whether_it_exists_or_not(access: Access, asked: str) -> None:
    with pytest.raises(ForbiddenError) as refused:
        access.project(viewer(access, Authorization=f"Bearer {READ}"), asked)

    assert (refused.value.status, refused.value.code) == (403, "other_project")
    assert asked not in str(refused.value) or asked == "other"


def test_operator_sees_every_project(access: Access) -> None:
    found = viewer(access, Authorization=f"Bearer {OPERATE}")

    assert (found.scope, found.project_id) == ("operate", None)
    assert access.project(found, "") is None
    assert access.project(found, "other") == "other"
    assert [each.id for each in access.projects(found)] == ["dev", "other"]
    with pytest.raises(UnknownError, match="There is no project 'missing'"):
        access.project(found, "missing")


def test_write_token_is_refused_with_the_command_that_makes_another(access: Access) -> None:
    with pytest.raises(ForbiddenError, match="sequence token create dev --scope read") as refused:
        viewer(access, Authorization=f"Bearer {WRITE}")

    assert (refused.value.status, refused.value.code) == (403, "write_token")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer seq_dev_unknown_0123456789"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {READ}x"},
        {"Authorization": "Basic !"},
        {"Authorization": f"Digest {READ}"},
        {"Cookie": f"{COOKIE}={READ}"},
        {"Cookie": f"{COOKIE}=1.{digest(READ)}.9999999999.{'0' * 64}"},
    ],
)
def test_request_without_a_valid_token_is_refused(access: Access, headers: dict[str, str]) -> None:
    with pytest.raises(LoginError):
        viewer(access, **headers)


def test_session_stands_for_its_token(access: Access) -> None:
    cookie = access.sessions.sign(digest(READ), time.time())

    assert viewer(access, Cookie=f"{COOKIE}={cookie}").project_id == "dev"


def test_invalid_header_does_not_fall_back_to_the_cookie(access: Access) -> None:
    cookie = access.sessions.sign(digest(READ), time.time())

    with pytest.raises(LoginError):
        viewer(access, Cookie=f"{COOKIE}={cookie}", Authorization="Bearer seq_dev_unknown_0123456789")


def test_revoked_token_ends_its_session_and_its_streams(access: Access, known: Known) -> None:
    cookie = access.sessions.sign(digest(READ), time.time())
    found = viewer(access, Cookie=f"{COOKIE}={cookie}")
    assert access.is_valid(found)

    known.apply(*encode_entry(Revocation(2), digest(READ)))

    assert not access.is_valid(found)
    with pytest.raises(LoginError):
        viewer(access, Cookie=f"{COOKIE}={cookie}")


def test_expired_token_is_refused(access: Access, known: Known) -> None:
    token = new_token("dev")
    created = describe_token(token, "dev", created_at=1, expires_at=time.time_ns() // 1000, scope="read")
    known.apply(*encode_entry(created, digest(token), "1"))

    with pytest.raises(LoginError):
        viewer(access, Authorization=f"Bearer {token}")


def test_reader_of_a_disabled_project_is_refused(access: Access, known: Known) -> None:
    found = viewer(access, Authorization=f"Bearer {READ}")
    known.apply(*encode_entry(Disabled(disabled=True), "dev"))

    assert not access.is_valid(found)
    with pytest.raises(ForbiddenError, match="sequence project update dev --enable"):
        viewer(access, Authorization=f"Bearer {READ}")


def test_state_of_the_parts_is_for_operators(access: Access) -> None:
    viewer(access, Authorization=f"Bearer {OPERATE}").require_operator("It concerns all.")
    with pytest.raises(ForbiddenError, match=r"It concerns all\. Use the token of an operator"):
        viewer(access, Authorization=f"Bearer {READ}").require_operator("It concerns all.")


def test_no_token_is_judged_before_the_table_was_read(access: Access, known: Known) -> None:
    known.table = None

    with pytest.raises(BusyError, match="has not read the tokens"):
        viewer(access, Authorization=f"Bearer {READ}")
