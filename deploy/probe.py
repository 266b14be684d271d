"""Exit with 0 if an address answers 200 within two seconds: a health check without curl."""

import sys
import urllib.request

if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=2) as answer:  # noqa: S310 - our own address
        sys.exit(answer.status != 200)
