"""Every operation, asked in ways that nobody thought of: no bug, and no answer that is not in the description."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""Of each operation, others each time."""
ENDS_ITS_OWN_SESSION = ("POST /v1/auth/logout", "DELETE /v1/users/me", "DELETE /v1/users/me/sessions")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_no_request_meets_a_bug_or_an_answer_that_is_not_described(
    api_url: str, workers: None, admin: dict[str, str]
) -> None:
    schema = await asyncio.to_thread(schemathesis.openapi.from_url, f"{api_url}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 80

    found = await asyncio.to_thread(lambda: list(wrong_with(operations, admin)))

    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def wrong_with(operations: list[Any], headers: dict[str, str]) -> Iterator[str]:
    for operation in operations:
        try:
            asked(operation, {} if operation.label in ENDS_ITS_OWN_SESSION else headers)
        except FailureGroup as failures:
            yield "\n".join([operation.label, *(str(failure) for failure in failures.exceptions)])


def asked(operation: Any, headers: dict[str, str]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

    ask()
