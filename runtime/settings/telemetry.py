"""Who is told what the processes do."""

from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings.section import Section


class Telemetry(Section):
    """Logs and metrics are always there; traces where a collector is named: `docs/telemetry.md`."""

    otlp_endpoint: str = ""
    """An OpenTelemetry collector that takes OTLP over HTTP, such as ``http://127.0.0.1:4318``; empty: no traces."""
    otlp_headers: SecretStr | None = None
    """What it wants to be told with them, such as ``authorization=Bearer abc``; several with commas between."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Which share of requests is traced where the caller has not decided it (the last digit of ``traceparent``)."""
    ready_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The same of answers that are ready in memory, at most: a span costs more than such an answer, and says little."""

    @property
    def headers(self) -> dict[str, str]:
        written = self.otlp_headers.get_secret_value() if self.otlp_headers else ""
        pairs = (pair.partition("=") for pair in written.split(",") if pair.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
