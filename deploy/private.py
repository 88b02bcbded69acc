"""A whole shop of one's own: free ports, a data directory for it alone, run as ``sutler up`` runs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.plan import the_stack
from deploy.ports import free_ports
from deploy.settings import UpSettings
from deploy.supervisor import Display, Patience, Supervisor


@dataclass(frozen=True)
class PrivateShop:
    settings: UpSettings
    environment: Mapping[str, str]
    """What a further process needs in order to belong to this shop."""
    supervisor: Supervisor


class Quiet:
    """A display for those who tell of the shop in their own words."""

    def starting(self, name: str) -> None:
        """Nobody is told."""

    def ready(self, name: str, seconds: float) -> None:
        """Nobody is told."""

    def say(self, message: str) -> None:
        """Nobody is told."""


def on_free_ports(directory: Path, **chosen: int) -> UpSettings:
    """Settings of a stack in the directory: every port that is not chosen is a free one."""
    names = [name for name in UpSettings.model_fields if name.endswith("_port")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return UpSettings.model_validate({"data_dir": directory, **ports, **chosen})


@asynccontextmanager
async def private_shop(
    directory: Path,
    overrides: Mapping[str, str],
    *,
    display: Display | None = None,
    patience: Patience | None = None,
    products: int | None = None,
) -> AsyncIterator[PrivateShop]:
    """Up when entered, gone when left; ``overrides`` and ``products`` as of ``the_stack``."""
    settings = on_free_ports(directory)
    supervisor = Supervisor(settings.directory, display or Quiet(), patience)
    try:
        await supervisor.bring_up(the_stack(settings, overrides, products=products))
        yield PrivateShop(settings, {**settings.environment(), **overrides}, supervisor)
    finally:
        await supervisor.stop()
