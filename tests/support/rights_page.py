"""Makes the tables of rights in `docs/security.md`: `python -m tests.support.rights_page` writes them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from deploy.kafka_rights import PARTS, Right
from tests.support.documents import ROOT

PAGE = ROOT / "docs" / "security.md"
COMMAND = ".venv/bin/python -m tests.support.rights_page"
_HEAD = "| Part | Commands | Topics | Groups |"
_TABLE = re.compile(re.escape(_HEAD) + r"\n(?:\|.*\n)+")
_OPTIONAL_HEAD = "| Part | Right | Without it |"
_OPTIONAL = re.compile(re.escape(_OPTIONAL_HEAD) + r"\n(?:\|.*\n)+")
_ALL = len({right.name for right in PARTS["topics"].rights})


def written(page: str) -> str:
    """Return *page* with the tables of the code."""
    page = _TABLE.sub(lambda _: "\n".join([_HEAD, "| --- | --- | --- | --- |", *_rows()]) + "\n", page)
    return _OPTIONAL.sub(lambda _: "\n".join([_OPTIONAL_HEAD, "| --- | --- | --- |", *_optional()]) + "\n", page)


def _rows() -> Iterator[str]:
    for name, part in PARTS.items():
        needed = [right for right in part.rights if not right.without]
        cells = (_cell(right for right in needed if right.kind == kind) for kind in ("topic", "group"))
        yield f"| `{name}` | {part.commands} | {' | '.join(cells)} |"


def _optional() -> Iterator[str]:
    for name, part in PARTS.items():
        reasons: defaultdict[str, list[Right]] = defaultdict(list)
        for right in part.rights:
            if right.without:
                reasons[right.without].append(right)
        for reason, rights in reasons.items():
            kinds = dict.fromkeys(right.kind for right in rights)
            shown = "; ".join(_cell(right for right in rights if right.kind == kind) for kind in kinds)
            yield f"| `{name}` | {shown} | {reason[0].upper()}{reason[1:]} |"


def _cell(rights: Iterable[Right]) -> str:
    """Return *rights* of one kind: what may be done, on which names."""
    operations: defaultdict[str, list[str]] = defaultdict(list)
    for right in rights:
        operations[_shown(right)].append(_constant(right.operation))
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, found in operations.items():
        names[", ".join(dict.fromkeys(found))].append(name)
    return (
        "; ".join(f"{shown} on {'all' if len(of) == _ALL else ', '.join(of)}" for shown, of in names.items()) or "none"
    )


def _shown(right: Right) -> str:
    return {"topic": f"`{right.name}`", "group": f"the group `{right.name}`", "cluster": "the cluster"}[right.kind]


def _constant(operation: str) -> str:
    """Return the name of Kafka's protocol for *operation*: `DESCRIBE_CONFIGS`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
