"""The control of `test_races`: commands that write a whole entry as they read it, so that one undoes another."""

from __future__ import annotations

import msgspec

from gateway.errors import ProjectExistsError, TokenExistsError
from gateway.projects.admin import ProjectsTopic
from schemas.project_table import ProjectTable
from schemas.projects import Project, Token, digest, new_token
from schemas.records import KeyValue


class WholeEntries(ProjectTable):
    """A table of records that each hold a whole project or token. The last record of a key counts."""

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record."""
        kind, _, name = (key or b"").decode().partition("/")
        if kind == "project":
            self.projects[name] = msgspec.json.decode(value or b"", type=Project)
        elif kind == "token":
            self.tokens[name] = msgspec.json.decode(value or b"", type=Token)


def project_record(project: Project) -> KeyValue:
    return f"project/{project.id}".encode(), msgspec.json.encode(project)


def token_record(token_digest: str, token: Token) -> KeyValue:
    return f"token/{token_digest}".encode(), msgspec.json.encode(token)


async def create(topic: ProjectsTopic, name: str) -> None:
    if "shop" in (await topic.read()).projects:
        raise ProjectExistsError
    await topic.append([project_record(Project("shop", name, 1))])


async def update(topic: ProjectsTopic, **changed: object) -> None:
    project = (await topic.read()).projects["dev"]
    await topic.append([project_record(msgspec.structs.replace(project, **changed))])


async def register(topic: ProjectsTopic, secret: str, project_id: str) -> str:
    if digest(secret) in (await topic.read()).tokens:
        raise TokenExistsError
    await topic.append([token_record(digest(secret), Token(digest(secret)[:16], project_id, "", 1))])
    return secret


async def revoke(topic: ProjectsTopic, token_digest: str) -> None:
    token = (await topic.read()).tokens[token_digest]
    await topic.append([token_record(token_digest, msgspec.structs.replace(token, revoked_at=1))])


async def rotate(topic: ProjectsTopic, token_digest: str, overlap: int) -> str:
    old = (await topic.read()).tokens[token_digest]
    secret = new_token(old.project_id)
    await topic.append([token_record(digest(secret), Token(digest(secret)[:16], old.project_id, "", 1))])
    await topic.append([token_record(token_digest, msgspec.structs.replace(old, expires_at=1 + overlap))])
    return secret
