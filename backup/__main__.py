"""Entry point of the backup process; the only place of it that knows this machine's servers."""

from backup.daily.parts import Prover
from backup.main import Parts, create_app
from backup.restore.prove import RestoreProver
from backup.settings import BackupSettings
from backup.trail_folder import TrailFolder
from deploy.local.recovery import LocalRecoveryServers
from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load
from service_kit.temporal import expose_sdk_metrics


class LocalParts(Parts):
    """Parts that prove capsules on a server of this machine."""

    def prover(self, settings: BackupSettings, trail: TrailFolder) -> Prover:
        """Return what restores a capsule in a folder of its own, and compares."""
        return RestoreProver(
            LocalRecoveryServers(settings.within_s),
            trail.secret_key,
            trail.folder / "scratch",
            tuple(settings.databases()),
            settings.within_s,
            reserve_bytes=settings.reserve_bytes,
        )


def main() -> None:
    """Serve until told to stop."""
    settings = load(BackupSettings)
    logs.configure("backup", settings.log_level, settings.log_format)
    tracing.configure("backup")
    expose_sdk_metrics()
    server.run(create_app(settings, LocalParts()), settings.host, settings.port)


if __name__ == "__main__":
    main()
