"""What the shop stands on: the packages of its lock file, their licences, their known weaknesses, and a list of it all.

python -m deploy.components licences | vulnerabilities | sbom [FILE]
"""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

LOCK = Path(__file__).parents[1] / "requirements" / "runtime.lock"

LEAVES_US_FREE = (
    "MIT", "BSD", "Apache", "ISC", "PSF", "Python Software Foundation", "MPL", "Mozilla Public License", "Unlicense",
    "0BSD", "Zero-Clause",
)  # fmt: skip
"""Licences that ask for nothing but to be named, or for changes of their own files."""

LOOKED_AT = {"iso4217": "public domain", "zxcvbn-rs-py": "MIT, in its repository; its wheel does not say so"}


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    licence: str


def packages(lock: Path = LOCK) -> Iterator[Package]:
    """What production installs; on this machine, which may need less than others do."""
    for line in lock.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate():
                version = next(iter(wanted.specifier)).version
                yield Package(name=wanted.name, version=version, licence=licence_of(wanted.name))


def licence_of(name: str) -> str:
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    expression, text = (next(iter(told.get_all(field) or []), "") for field in ("License-Expression", "License"))
    return expression or ", ".join(_classified(told)) or text.strip().partition("\n")[0] or "unknown"


def _leaves_us_free(package: Package) -> bool:
    return package.name in LOOKED_AT or any(word in package.licence for word in LEAVES_US_FREE)


def _classified(told: PackageMetadata) -> list[str]:
    found = told.get_all("Classifier") or []
    return [line.rpartition(" :: ")[2] for line in found if line.startswith("License :: ") and "::" in line[11:]]


def licences() -> int:
    """The exit code is 1 when a licence is not known to leave us free."""
    known = list(packages())
    doubtful = [package for package in known if not _leaves_us_free(package)]
    for package in doubtful:
        print(f"{package.name} {package.version}: {package.licence}")
    print(f"{len(known)} packages, {len(doubtful)} with a licence to look at.")
    return 1 if doubtful else 0


def vulnerabilities() -> int:
    """The exit code is 1 when pip-audit, which asks PyPI, knows of one. What could not be looked up is said to be."""
    program = str(Path(sysconfig.get_path("scripts")) / "pip-audit")
    asked = [program, "--disable-pip", "--require-hashes", "--requirement", str(LOCK), "--format", "json"]
    done = subprocess.run([*asked, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        told = json.loads(done.stdout)["dependencies"]
    except ValueError:
        told = []
    checked = [package for package in told if "vulns" in package]
    weak = [(package, weakness) for package in checked for weakness in package["vulns"]]
    for package, weakness in weak:
        print(f"{package['name']} {package['version']}: {weakness['id']}, mended in {weakness['fix_versions']}")
    if not checked:
        print("Nothing was checked: PyPI cannot be asked from here.")
    else:
        print(f"{len(checked)} of {len(told)} packages were looked up, {len(weak)} known weaknesses.")
    return 1 if weak else 0


def sbom(file: Path) -> int:
    """Write a CycloneDX list of all packages; it needs no network."""
    bom, licence = Bom(), LicenseFactory()
    bom.metadata.component = shop = Component(name="sutler", type=ComponentType.APPLICATION)
    for package in packages():
        part = Component(
            name=package.name,
            version=package.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{package.name}@{package.version}",
            purl=PackageURL("pypi", name=package.name, version=package.version),
            licenses=[licence.make_from_string(package.licence)],
        )
        bom.components.add(part)
        bom.register_dependency(shop, [part])
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n")
    print(f"{file} lists {len(bom.components)} packages.")
    return 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["licences"]:
            return licences()
        case ["vulnerabilities"]:
            return vulnerabilities()
        case ["sbom", *file]:
            return sbom(Path(file[0] if file else "sbom.json"))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
