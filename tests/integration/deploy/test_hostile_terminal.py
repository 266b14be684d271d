"""What a terminal has in its environment for other programs makes no difference to ours."""

import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

NOBODY = "127.0.0.1:9"  # the port of a service that nobody runs any more
OF_OTHERS = {
    # all of these would be asked for loopback, too
    "HTTP_PROXY": f"http://{NOBODY}",
    "http_proxy": f"http://{NOBODY}",
    "HTTPS_PROXY": f"http://{NOBODY}",
    "ALL_PROXY": f"socks5://{NOBODY}",
    "grpc_proxy": f"http://{NOBODY}",
    "NO_PROXY": "",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSLKEYLOGFILE": "/nowhere/keys",
    "PGHOST": "db.example",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGPASSWORD": "else",
    "PGDATABASE": "elsewhere",
    "PGSERVICE": "elsewhere",
    "PGSERVICEFILE": "/nowhere/services",
    "PGPASSFILE": "/nowhere/passwords",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLROOTCERT": "/nowhere/root.crt",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGSSLIB": "none",
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGTZ": "Antarctica/Troll",
    "PGDATA": "/nowhere",
    "TEMPORAL_ADDRESS": "cloud.example:7233",
    "TEMPORAL_NAMESPACE": "elsewhere",
    "TEMPORAL_API_KEY": "else",
    "TEMPORAL_TLS": "true",
    "TEMPORAL_PROFILE": "elsewhere",
    "TEMPORAL_CONFIG_FILE": "/nowhere/temporal.toml",
    "TEMPORAL_DEBUG": "true",
    "OTEL_PROPAGATORS": "none-such",
    "OTEL_TRACES_SAMPLER": "none-such",
    "OTEL_BSP_MAX_QUEUE_SIZE": "-1",
    "OTEL_PYTHON_CONTEXT": "none-such",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NOBODY}",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    "GOGC": "off",
    "GOMEMLIMIT": "plenty",
    "GODEBUG": "netdns=none-such",
    "WEB_CONCURRENCY": "auto",
    "UVICORN_PORT": "1",
    "FORWARDED_ALLOW_IPS": "*",
    "NICEGUI_STORAGE_PATH": "/nowhere",
    "NICEGUI_REDIS_URL": f"redis://{NOBODY}",
    "NICEGUI_USER_SIMULATION": "true",
    "MARKDOWN_CONTENT_CACHE_SIZE": "plenty",
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "verbose",
    "LOG_FORMAT": "text",
    "TOKEN_KEY": "short",
    "TOKEN_AUDIENCE": "others",
    "order_port": "1",
    "TZ": "Antarctica/Troll",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "ascii",
    "PYTHONINSPECT": "1",
    "PYTHONSTARTUP": "/nowhere/startup.py",
    "PYTHONDEVMODE": "1",
}


@pytest.fixture
async def valerix(tmp_path: Path) -> AsyncIterator[CommandLine]:
    line = CommandLine(tmp_path / "home")
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("asyncpg", "httpx", "psutil", "uvicorn", "service_kit"):
        (modules / f"{name}.py").write_text("raise ImportError('a module of somebody else')\n")
    line.env |= {**OF_OTHERS, "PYTHONPATH": str(modules)}
    async with line:
        yield line


async def test_the_stack_starts_and_ships_an_order_in_any_terminal(valerix: CommandLine) -> None:
    await valerix.up()
    code, said = await valerix.order("MUG-BLUE=1")
    assert (code, "is shipped" in said) == (0, True), said
    assert "Traceback" not in await valerix.is_well()
    for command in (["gremlin", "status"], ["gremlin", "predict"], ["token"], ["stop"]):
        code, said = await valerix.run(*command)
        assert code == 0, (command, said)
        assert "Traceback" not in said


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_container_that_is_given_a_proxy_is_still_probed_directly() -> None:
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/readyz"
            proxies = {name: value for name, value in OF_OTHERS.items() if "proxy" in name.lower()}
            probe = (sys.executable, "-m", "deploy.probe", url)
            done = subprocess.run(
                probe, env=proxies, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
        finally:
            server.shutdown()
            serving.join()
