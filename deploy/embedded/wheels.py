"""Where the wheels have put their programs."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def installation(package: str) -> Path:
    """The package's folder, found without importing it: the packages would import clients and make directories."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed; install sutler[stack]")
    return Path(spec.origin).parent
