"""Writes `crds`: `python -m tests.chart.pruning CRD.yaml…`. `crds/README.md` says where the definitions are from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

from tests.chart.rendering import OPERATORS, SETS, example, rendered
from tests.chart.validation import CRDS, structural


def write(files: Iterable[Path]) -> None:
    """Write a schema for each kind of *files* that the chart or an example has."""
    resources = [resource for name in SETS for resource in rendered(name)]
    resources += [resource for name in OPERATORS for resource in example(name)]
    for file in files:
        spec = YAML(typ="safe").load(file)["spec"]
        for version in spec["versions"]:
            of_version = f"{spec['group']}/{version['name']}"
            kind = spec["names"]["kind"]
            uses = [each for each in resources if (each["apiVersion"], each["kind"]) == (of_version, kind)]
            if uses:
                schema = dict(structural(version["schema"]["openAPIV3Schema"], uses))
                schema["properties"]["metadata"] = {"type": "object"}
                name = f"{kind.lower()}-{spec['group']}-{version['name']}.json"
                (CRDS / name).write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(argument) for argument in sys.argv[1:])
