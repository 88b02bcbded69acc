"""What the shop stands on is listed, and may be used."""

import json
from pathlib import Path

import pytest

from deploy import components
from deploy.components import Package, main, packages


def test_all_licences_of_what_production_installs_leave_us_free(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["licences"]) == 0
    assert "0 with a licence to look at" in capsys.readouterr().out


def test_a_licence_that_nobody_has_looked_at_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = [Package(name="strange", version="1", licence="AGPL-3.0")]
    monkeypatch.setattr(components, "packages", lambda: iter(strange))

    assert main(["licences"]) == 1
    assert "strange 1: AGPL-3.0" in capsys.readouterr().out


def test_the_list_for_others_names_every_package_with_its_version(tmp_path: Path) -> None:
    assert main(["sbom", str(tmp_path / "sbom.json")]) == 0

    written = json.loads((tmp_path / "sbom.json").read_text())
    assert written["bomFormat"] == "CycloneDX"
    listed = {(part["name"], part["version"]) for part in written["components"]}
    assert listed == {(package.name, package.version) for package in packages()}
    assert ("temporalio", "pkg:pypi/temporalio") in {
        (part["name"], part["purl"].partition("@")[0]) for part in written["components"]
    }
