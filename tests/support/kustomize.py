"""Kustomizations rendered without kustomize, as far as ours go; what they do not use is refused.

Known: resources, namespace, nameSuffix, labels, images, JSON patches by kind, name and label, generated ConfigMaps
(whose names get no hash here), and references to Deployments.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

Thing = dict[str, Any]
KNOWN = {
    *("apiVersion", "kind", "resources", "namespace", "nameSuffix", "labels", "images", "patches"),
    *("configMapGenerator", "configurations"),
}


def rendered(folder: Path) -> list[Thing]:
    wish = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert wish.keys() <= KNOWN, wish.keys() - KNOWN
    things: list[Thing] = []
    for resource in wish.get("resources", []):
        path = folder / resource
        things += rendered(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for made in wish.get("configMapGenerator", []):
        data = {name: (folder / name).read_text() for name in made["files"]}
        things.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data})
    for patch in wish.get("patches", []):
        chosen = [thing for thing in things if _fits(thing, patch["target"])]
        assert chosen, patch
        for thing in chosen:
            _patched(thing, yaml.safe_load(patch["patch"]))
    for thing in things:
        for labels in wish.get("labels", []):
            _labelled(thing, labels["pairs"])
        for image in wish.get("images", []):
            _with_image(thing, image)
        if "namespace" in wish:
            thing["metadata"]["namespace"] = wish["namespace"]
    _suffixed(things, wish.get("nameSuffix", ""))
    return things


def _fits(thing: Thing, target: dict[str, str]) -> bool:
    assert target.keys() <= {"kind", "name", "labelSelector"}
    label, _, value = target.get("labelSelector", "").partition("=")
    return (
        thing["kind"] == target["kind"]
        and target.get("name", thing["metadata"]["name"]) == thing["metadata"]["name"]
        and (not label or thing["metadata"].get("labels", {}).get(label) == value)
    )


def _patched(thing: Thing, changes: list[dict[str, Any]]) -> None:
    for change in changes:
        assert change["op"] == "replace"
        *way, last = change["path"].strip("/").split("/")
        place: Any = thing
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        assert last in place, change
        place[last] = deepcopy(change["value"])


def _labelled(thing: Thing, pairs: dict[str, str]) -> None:
    thing["metadata"].setdefault("labels", {}).update(pairs)
    spec = thing.get("spec", {})
    if "template" in spec:
        spec["template"]["metadata"].setdefault("labels", {}).update(pairs)
    if "matchLabels" in spec.get("selector", {}):
        spec["selector"]["matchLabels"].update(pairs)


def _with_image(thing: Thing, image: dict[str, str]) -> None:
    for container in containers(thing):
        if container["image"] == image["name"]:
            container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"


def containers(thing: Thing) -> list[Thing]:
    pod = thing.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _suffixed(things: list[Thing], suffix: str) -> None:
    deployments = {thing["metadata"]["name"] for thing in things if thing["kind"] == "Deployment"}
    for thing in things:
        thing["metadata"]["name"] += suffix
        scaled = thing.get("spec", {}).get("scaleTargetRef")
        if scaled is not None and scaled["name"] in deployments:
            scaled["name"] += suffix
