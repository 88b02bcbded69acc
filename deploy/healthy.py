"""``python -m deploy.healthy URL``: exit 0 when the address answers 200. For images that have no curl."""

import sys

from deploy.probes import http_answers

if __name__ == "__main__":
    sys.exit(0 if http_answers(sys.argv[1]) else 1)
