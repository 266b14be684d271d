"""What can go wrong with backups; each says in one sentence what happened, for a person to read."""


class BackupProblem(Exception):
    """Something was not done, or cannot be trusted; nothing else was changed."""


class ProgramFailed(BackupProblem):
    """A program of Postgres ended with an error, or not in time."""


class ArchiveConflict(BackupProblem):
    """The archive holds other content under a name that was to be archived."""


class ArchiveIncomplete(BackupProblem):
    """Log files are missing, damaged or of another cluster: recovery would end there, silently."""


class BaseUnusable(BackupProblem):
    """A base backup is damaged, or cannot be combined with those before it."""


class NotCovered(BackupProblem):
    """The moment asked for is not contained in what there is."""


class TargetInUse(BackupProblem):
    """There is something already where a restore was to put its files."""


class DiskFull(BackupProblem):
    """The disk filled; what was being written is gone again, all that was there before is kept."""


class AlreadyUnderWay(BackupProblem):
    """Another process does this in the same folder now."""


class CapsuleDamaged(BackupProblem):
    """A capsule is not what was sealed: a flipped bit, a missing part, an altered manifest."""


class WrongKey(BackupProblem):
    """A capsule cannot be opened with this key."""


class WrongCapsule(BackupProblem):
    """A capsule is whole, but not the one that was asked for."""


class CopyMissing(BackupProblem):
    """A store does not have this copy."""


class CopyDamaged(BackupProblem):
    """What a store gave back is not what it was given."""


class StoreUnavailable(BackupProblem):
    """A store did not answer, refused, or has no room."""
