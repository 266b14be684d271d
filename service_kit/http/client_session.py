"""HTTP client session for calls between our processes."""

import aiohttp

# Far below what our servers keep (server.KEEP_ALIVE_S): a request on a connection that the other
# side is just closing is lost, and nobody can tell whether it had an effect.
IDLE_S = 15.0


def open_session() -> aiohttp.ClientSession:
    """Return a pool of connections without a bound, which callers set by their deadlines."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
    # a proxy in the environment is for what is outside
    return aiohttp.ClientSession(connector=connector, trust_env=False)
