"""The template and the cloud-init file, read as the programs read them that they are for."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml")

FOLDER = Path(__file__).parents[2] / "deploy" / "cloud"
TEMPLATE = FOLDER / "cloudformation.yaml"
CLOUD_INIT = FOLDER / "cloud-init.yaml"
VALUES = {
    "Site": "shop.example.com",
    "Seed": "true",
    "ReleaseUrl": "https://git.example.com/valerix.git",
    "ReleaseTag": "v0.1.0",
    "SshFrom": "203.0.113.7/32",
    "DataDisk": "/dev/vdb",
    "Bucket": "capsules",
    "BucketRegion": "eu-central-1",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # of a module that need not be there
    """YAML with CloudFormation's short forms: `!Ref X` is `{"Ref": "X"}`."""


def _long_form(loader: Any, name: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _long_form)


def template() -> dict[str, Any]:
    """Return the template, its functions in the long form."""
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)
    return found


def properties(resource: str) -> dict[str, Any]:
    """Return what the template says of a resource."""
    found: dict[str, Any] = template()["Resources"][resource]["Properties"]
    return found


def rendered(values: Mapping[str, str] = VALUES) -> str:
    """Return user data with these values; KeyError if one is missing."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], CLOUD_INIT.read_text())


def cloud_config() -> dict[str, Any]:
    """Return user data as cloud-init reads it."""
    found: dict[str, Any] = yaml.safe_load(rendered())
    return found
