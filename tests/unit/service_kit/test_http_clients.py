"""Who keeps an idle connection for how long."""

import aiohttp

from service_kit.http import client_session, server


async def test_clients_let_go_of_idle_connections_long_before_servers_do() -> None:
    async with client_session.open_session() as ours, aiohttp.ClientSession() as plain:
        for session in (ours, plain):
            assert isinstance(session.connector, aiohttp.TCPConnector)
            kept_s = session.connector._keepalive_timeout or 0.0
            assert 2 * kept_s <= server.config(None, "127.0.0.1", 0).timeout_keep_alive


async def test_a_proxy_of_the_environment_is_not_asked_for_our_own_services() -> None:
    async with client_session.open_session() as session:
        assert not session.trust_env
