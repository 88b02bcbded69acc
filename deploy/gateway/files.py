"""The configurations of Nginx and Envoy, written from one description of what stands before the API.

``python -m deploy.gateway.files`` writes those of the containers, which are kept beside the templates.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from db.tokens import API_KEY_PREFIX

TEMPLATES = Path(__file__).parent
CONTAINERS = TEMPLATES / "containers"
KUBERNETES = TEMPLATES.parent / "kubernetes" / "base"

PAGES = ("verify-email", "password-reset", "email-change", "invitation", "unsubscribe")
"""What mailed links lead to."""

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Nginx in front of one or more Envoys in front of the API's processes; or Nginx alone, in front of those."""

    directory: Path
    """Where a server of its own keeps what it needs while it runs; no two share one."""
    apis: tuple[Address, ...]
    envoys: tuple[Address, ...] = ()
    envoy: Address = ("0.0.0.0", 8080)  # noqa: S104 (inside a container)
    stats: Address = ("0.0.0.0", 9901)  # noqa: S104
    leave: Address | None = None
    """Where whoever stops Envoy may ask it to leave first; on its own machine only."""
    http: Address = ("0.0.0.0", 8080)  # noqa: S104
    https: Address = ("0.0.0.0", 8443)  # noqa: S104
    certificate: Path | None = None
    certificate_key: Path | None = None
    trusted: tuple[str, ...] = ()
    """Networks of the proxies before Nginx, such as a cloud's load balancer."""
    nginx_workers: str = "auto"
    nginx_user: str | None = None
    """Whom its workers become when it is started as root."""
    issuer: str = "sutler"
    max_body: str = "1m"
    max_import: str = "256m"
    limit_of_all: int = 5000
    """Requests per second that one Envoy lets pass. The exact limits are the API's, whose processes count as one."""
    limit_of_an_address: int = 200
    most_at_once: int = 1000
    """Requests that one Envoy has under way at the API; what is over it is answered 503 at once."""
    reading_seconds: float = 15
    reading_try_seconds: float = 5
    """How long one process may be silent before another one is asked."""

    def nginx(self) -> str:
        behind = self.envoys or self.apis
        return self._filled("nginx.conf.j2", behind_nginx=[f"{host}:{port}" for host, port in behind])

    def envoy_file(self) -> str:
        return self._filled("envoy.yaml.j2")

    def _filled(self, template: str, **more: object) -> str:
        environment = Environment(  # noqa: S701 (it makes no page)
            loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
        )
        return environment.get_template(template).render(
            asdict(self),
            **more,
            origin=f"Made of deploy/gateway/{template}; change that, then: python -m deploy.gateway.files",
            http_listen=_listen(self.http),
            https_listen=_listen(self.https),
            envoy_listen=_socket(self.envoy),
            stats_listen=_socket(self.stats),
            leave_listen=_socket(self.leave) if self.leave else None,
            hops_before_envoy=1,
            api_key_prefix=API_KEY_PREFIX,
            pages=PAGES,
        )


def _listen(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _socket(address: Address) -> str:
    return f"{{address: {address[0]}, port_value: {address[1]}}}"


IN_CONTAINERS = Gateway(
    directory=Path("/tmp/gateway"),  # noqa: S108 (a container's own)
    apis=(("api", 8080),),
    envoys=(("envoy", 8080),),
    leave=("127.0.0.1", 9902),
    certificate=Path("/run/secrets/tls.crt"),
    certificate_key=Path("/run/secrets/tls.key"),
)


def written() -> dict[Path, str]:
    """The files that are kept for containers and for Kubernetes, which takes none from outside of its own folder."""
    return {
        folder / name: text
        for folder in (CONTAINERS, KUBERNETES)
        for name, text in (("nginx.conf", IN_CONTAINERS.nginx()), ("envoy.yaml", IN_CONTAINERS.envoy_file()))
    }


if __name__ == "__main__":
    for file, text in written().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        print(file, file=sys.stderr)
