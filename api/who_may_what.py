"""``docs/security.md``: who may what, route by route, as the code has it."""

from collections.abc import Callable

from api.app import create_app
from api.auth import Route, routes_of
from domain.customers import Role
from domain.permissions import FOR_KEYS, GRANTED, OPEN, Permission
from runtime.settings import Settings

Verdict = Callable[[Route], str]

HEAD = """# Who may what

Drawn from the routes in `api/` and the roles in `domain/permissions.py` by
`python -m api.who_may_what > docs/security.md`. Tests hold this page to the code, and ask every route as each of these
callers.

Each route names one permission, and the API refuses to start with one that names none. A role that is not granted the
permission is answered 403 (`forbidden`), and somebody without a valid access token or API key 401 (`unauthenticated`).

| cell | what is answered |
| --- | --- |
| yes | what was asked, of anybody's things |
| own | what was asked of their own things; somebody else's are answered 404, as if there were none |
| own, 403 | the same; but who may read somebody else's, and not do this with it, is told so by 403 |
| scope | yes with an API key that was made for this permission, 403 with another |
| 401, 403 | refused |

A guest's cart, and the order that came of it, belongs to whoever knows the cart's id. Staff's tokens are those of their
accounts. An API key may also read the orders on which it may act.
"""


def of(role: Role | None) -> Verdict:
    """What a person of this role is answered; ``None`` is somebody who did not sign in."""
    granted = OPEN if role is None else GRANTED[role]

    def verdict(route: Route) -> str:
        if route.permission not in granted:
            return "401" if role is None else "403"
        if route.permission is Permission.ACCOUNT:
            return "own"
        return _of_others(route, granted)

    return verdict


def of_a_key(route: Route) -> str:
    if route.is_open:
        return "yes" if route.others is None else "own; others: scope"
    return "scope" if route.permission in FOR_KEYS else "403"


def _of_others(route: Route, granted: frozenset[Permission]) -> str:
    if route.others is None or route.others in granted:
        return "yes"
    is_order = "{order_id}" in route.path
    return "own, 403" if is_order and Permission.ORDERS_READ in granted else "own"


COLUMNS: dict[str, Verdict] = {
    "anonymous": of(None),
    **{str(role): of(role) for role in Role},
    "API key": of_a_key,
}


def document(routes: list[Route]) -> str:
    roles = [
        f"| `{permission}` | {', '.join(role for role in Role if permission in GRANTED[role]) or '–'} | "
        f"{'everybody' if permission in OPEN else 'yes' if permission in FOR_KEYS else 'no'} |"
        for permission in Permission
    ]
    table = [
        f"| {route.method} `{route.path}` | `{route.permission}` | "
        + " | ".join(verdict(route) for verdict in COLUMNS.values())
        + " |"
        for route in routes
    ]
    return "\n".join(
        [
            HEAD,
            "## Permissions\n",
            "| permission | roles | API keys |",
            "| --- | --- | --- |",
            *roles,
            "\n## Routes\n",
            f"| route | permission | {' | '.join(COLUMNS)} |",
            "| --- | --- |" + " --- |" * len(COLUMNS),
            *table,
            "",
        ]
    )


def routes() -> list[Route]:
    return routes_of(create_app(Settings()))


if __name__ == "__main__":
    print(document(routes()), end="")
