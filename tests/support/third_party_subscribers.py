"""Install a subscriber outside of the platform and run the real `subscribers` process with it."""

import asyncio
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.ports import free_port
from tests.support.processes import bare_environment
from tests.support.serving import TOKEN_KEY

# What the subscriber does is told by files beside it, so that a test can change its mind.
SUBSCRIBER = '''
    """Counts the events of each type, in a table of its own, and misbehaves when told to."""

    import asyncio, os, pathlib, time

    HERE = pathlib.Path(__file__).parent

    class {name}:
        async def prepare(self, connection):
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS {table} (n bigint GENERATED ALWAYS AS IDENTITY,"
                " event_seq bigint PRIMARY KEY, order_id uuid, type text)")

        async def handle(self, event, connection):
            await connection.execute(
                "INSERT INTO {table} (event_seq, order_id, type) VALUES ($1, $2, $3)",
                event.seq, event.order_id, event.type)
            if (HERE / "fail").exists():
                (HERE / "has-failed").touch()
                raise RuntimeError("this subscriber fails")
            if (HERE / "exit").exists():
                (HERE / "has-exited").touch()
                raise SystemExit(3)
            while (HERE / "block").exists():
                (HERE / "has-blocked").touch()
                time.sleep(0.02)
            if (HERE / "hang").exists():
                (HERE / "has-hung").touch()
                await asyncio.Event().wait()
'''


def install(folder: Path, name: str) -> Path:
    """Put a distribution with an entry point into `folder`, and return where its module is."""
    package = folder / f"{name}_subscriber"
    package.mkdir(parents=True)
    code = SUBSCRIBER.format(name=name.title(), table=f"{name}_events")
    (package / "__init__.py").write_text(textwrap.dedent(code))
    information = folder / f"{name}_subscriber-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}-subscriber\nVersion: 1.0\n"
    )
    (information / "entry_points.txt").write_text(
        f"[valerix.subscribers]\n{name} = {name}_subscriber:{name.title()}\n"
    )
    return package


@asynccontextmanager
async def running(dsn: str, packages: Path, *, complains: str | None = None) -> AsyncIterator[str]:
    """Run `python -m subscribers` with the subscribers in `packages`, and give its address.

    `complains` is what its log has to say; without it there must be no traceback in there.
    """
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "subscribers",
        env=bare_environment(
            PYTHONPATH=str(packages),
            ORDERS_DATABASE_URL=dsn,
            SUBSCRIBERS_PORT=str(port),
            TOKEN_KEY=TOKEN_KEY,
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)
        log = (await said).decode()
        assert code in (0, -signal.SIGTERM), (code, log[-2000:])
        assert "never retrieved" not in log, log[-2000:]
        if complains is None:
            assert "Traceback" not in log, log[-2000:]
        else:
            assert complains in log
