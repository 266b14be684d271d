#!/bin/sh
# Prints a token that the shop's services accept: valerix-token [SUBJECT [ROLE [SECONDS]]]
set -eu
cd /opt/valerix
exec docker compose exec -T order-api python -c '
import os, sys
from service_kit.http.tokens import issue
print(issue(os.environ["TOKEN_KEY"], sys.argv[1], sys.argv[2], int(sys.argv[3])))
' "${1:-cloud-check}" "${2:-shopper}" "${3:-600}"
