"""Health check without curl: exit with 0 if an address answers 200 within two seconds."""

import sys
import urllib.request

if __name__ == "__main__":
    # Of no proxy: containers are given one for what is outside, and this is the one beside it.
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(sys.argv[1], timeout=2) as answer:
        sys.exit(answer.status != 200)
