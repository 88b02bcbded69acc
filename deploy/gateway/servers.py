"""Nginx and Envoy as services of ``sutler up`` and of the tests."""

import shutil
import signal
from functools import partial
from pathlib import Path

from deploy import probes
from deploy.embedded.wheels import installation
from deploy.gateway.certificate import make_certificate
from deploy.gateway.debian import nginx_program
from deploy.gateway.files import Gateway
from deploy.service import Service


def nginx(gateway: Gateway) -> Service:
    """SIGQUIT: it answers what was asked before it leaves."""
    file = gateway.directory / "nginx.conf"
    return Service(
        name="nginx",
        argv=[str(nginx_program()), "-p", str(gateway.directory), "-e", "stderr", "-c", str(file)],
        address=_url(gateway.http, "http") + (f", {_url(gateway.https, 'https')}" if gateway.certificate else ""),
        prepare=partial(_prepare_nginx, gateway, file),
        ready=partial(probes.http_answers, _url(gateway.http, "http") + "/ready"),
        stop_signal=signal.SIGQUIT,
    )


def envoy(gateway: Gateway, *, name: str = "envoy") -> Service:
    file = gateway.directory / "envoy.yaml"
    # Who leaves says so on each answer from the first moment on.
    leaving = ["--drain-time-s", "3", "--drain-strategy", "immediate"]
    options = ["--disable-hot-restart", "--concurrency", "2", *leaving, "--log-level", "warning"]
    return Service(
        name=name,
        argv=[str(envoy_program()), "-c", str(file), *options],
        address=f"{_url(gateway.envoy, 'http')}, metrics {_url(gateway.stats, 'http')}/metrics",
        prepare=partial(_prepare_envoy, gateway, file),
        ready=partial(probes.http_answers, _url(gateway.stats, "http") + "/ready"),
    )


def envoy_program() -> Path:
    try:
        program = installation("envoy") / "_bin" / "envoy"
    except RuntimeError:
        raise RuntimeError(
            "Envoy is not installed; its package is there for Linux and macOS: sutler[gateway]"
        ) from None
    program.chmod(0o755)  # some installers drop the bit
    return program


def _url(address: tuple[str, int], scheme: str) -> str:
    return f"{scheme}://{address[0]}:{address[1]}"


def _prepare_nginx(gateway: Gateway, file: Path) -> None:
    gateway.directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(gateway.directory / "catalogue", ignore_errors=True)
    if gateway.certificate and gateway.certificate_key and not gateway.certificate.exists():
        make_certificate(gateway.certificate, gateway.certificate_key)
    file.write_text(gateway.nginx())


def _prepare_envoy(gateway: Gateway, file: Path) -> None:
    gateway.directory.mkdir(parents=True, exist_ok=True)
    file.write_text(gateway.envoy_file())
