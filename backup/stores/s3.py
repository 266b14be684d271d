"""A store in a bucket of S3, or of anything that speaks its language.

Large capsules go up in parts; S3 shows an object when the last part is there. The label follows:
what is listed is whole.

Of an upload whose process was killed, S3 keeps the parts that had arrived, shows them to nobody and
charges for them. A bucket needs a lifecycle rule AbortIncompleteMultipartUpload of a day or two.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket
from pydantic import BaseModel, Field, SecretStr, model_validator

from backup.capsule.manifest import SUFFIX, SealedCapsule, label_name
from backup.durable import (
    ABANDONED_AFTER_S,
    gone_unless_done,
    made_folder,
    move_durably,
    partial_beside,
    sweep,
    write_whole,
)
from backup.errors import CopyDamaged, CopyMissing, StoreUnavailable
from backup.stores.aws_environment import hidden_aws_variables
from backup.stores.folder import believed_label
from backup.stores.ranges import RangedObject, in_one_line
from backup.stores.store import Copy

if TYPE_CHECKING:  # not there at run time
    from obstore.store import S3Config

_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_A_TIME = 2  # a backup is in no hurry, and the machine has orders to take


class S3Settings(BaseModel, frozen=True):
    """Where a bucket is and who we are there. Without keys, the machine's own identity is used.

    With keys, no `AWS_*` of the environment counts; without, those that tell the identity.
    """

    bucket: str
    prefix: str = "capsules"
    region: str = "us-east-1"
    endpoint: str | None = None
    access_key_id: str | None = Field(None, min_length=1)
    secret_access_key: SecretStr | None = Field(None, min_length=1)
    # For a request; a part of a capsule is one, up and down.
    timeout: timedelta = timedelta(seconds=60)
    connect_timeout: timedelta = timedelta(seconds=5)

    @model_validator(mode="after")
    def _keys_are_a_pair(self) -> Self:
        """Refuse half a pair: the machine's own identity would be used, which nobody has meant."""
        if (self.access_key_id is None) != (self.secret_access_key is None):
            given, missing = "access_key_id", "secret_access_key"
            if self.access_key_id is None:
                given, missing = missing, given
            raise ValueError(
                f"{given} is given and {missing} is not: give both, or neither to be there as this"
                " machine itself"
            )
        return self


class S3Store:
    """Copies in a bucket."""

    def __init__(self, name: str, settings: S3Settings) -> None:
        self.name = name
        self._prefix = settings.prefix
        self.bucket = _bucket(settings)

    async def put(self, capsule: SealedCapsule) -> Copy:
        """Send the capsule, look at its size there, then send its label."""
        copy = Copy.of(capsule, self.name)
        with self._asked():
            await obstore.put_async(
                self.bucket,
                self._key(copy.name),
                capsule.path,
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_A_TIME,
            )
            there = await obstore.head_async(self.bucket, self._key(copy.name))
            self._require_size(copy, there["size"])
            await obstore.put_async(
                self.bucket, self._key(label_name(copy.name)), capsule.label(), use_multipart=False
            )
        return copy

    async def get(self, copy: Copy, folder: Path) -> SealedCapsule:
        """Fetch it range by range; one that does not come is asked for again, for some seconds."""
        await asyncio.to_thread(sweep, made_folder(folder), untouched_for_s=ABANDONED_AFTER_S)
        capsule = copy.capsule(folder / copy.name)
        partial = partial_beside(capsule.path)
        digest = hashlib.sha256()
        there = RangedObject(self.bucket, self._key(copy.name), f"{copy.name} in {self.name}")
        with gone_unless_done(partial, f"fetching {copy.name}"), partial.open("xb") as out:
            with self._asked():
                self._require_size(copy, await there.size_bytes())
                async for piece in there.pieces(copy.size_bytes):
                    digest.update(piece)
                    await asyncio.to_thread(out.write, piece)
            out.flush()
            os.fsync(out.fileno())
            if digest.hexdigest() != copy.sha256:
                raise CopyDamaged(f"what the store {self.name} gave as {copy.name} is damaged")
            move_durably(partial, capsule.path)
        write_whole(folder / label_name(copy.name), capsule.label())
        return capsule

    async def list_copies(self) -> list[Copy]:
        """Read the labels of those that are there."""
        found = []
        with self._asked():
            listed = await obstore.list(self.bucket, prefix=self._prefix).collect_async()
            names = {Path(one["path"]).name for one in listed}
            for name in sorted(name for name in names if name.endswith(SUFFIX)):
                if label_name(name) not in names:
                    continue
                copy = await self._labelled(name)
                if copy is not None:
                    found.append(copy)
        return found

    async def delete(self, copy: Copy) -> None:
        """Delete the capsule first: without its label, nobody would find it again."""
        with self._asked():
            for name in (copy.name, label_name(copy.name)):
                try:
                    await obstore.delete_async(self.bucket, self._key(name))
                except FileNotFoundError:
                    continue

    async def _labelled(self, name: str) -> Copy | None:
        try:
            answer = await obstore.get_async(self.bucket, self._key(label_name(name)))
            label = bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None  # deleted since it was listed
        return believed_label(label, Path(name), self.name)

    def _require_size(self, copy: Copy, size_bytes: int) -> None:
        if size_bytes != copy.size_bytes:
            raise CopyDamaged(
                f"the store {self.name} kept {size_bytes} of the {copy.size_bytes} bytes of"
                f" {copy.name}: this copy is damaged"
            )

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Say which store it was that did not answer, or refused."""
        try:
            yield
        except FileNotFoundError as error:
            raise CopyMissing(f"the store {self.name} does not have it: {error}") from error
        except BaseError as error:
            raise StoreUnavailable(
                f"the store {self.name} did not do it: {in_one_line(error)}"
            ) from error


def _bucket(settings: S3Settings) -> Bucket:
    """Return the bucket that is meant, whatever the environment says of others."""
    options: S3Config = {"region": settings.region}
    if settings.endpoint is not None:
        options["endpoint"] = settings.endpoint
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        options["access_key_id"] = settings.access_key_id
        options["secret_access_key"] = settings.secret_access_key.get_secret_value()
    with hidden_aws_variables(but_identity="access_key_id" not in options):
        return Bucket(
            settings.bucket,
            config=options,
            client_options={
                "timeout": settings.timeout,
                "connect_timeout": settings.connect_timeout,
                "allow_http": bool(settings.endpoint and settings.endpoint.startswith("http:")),
            },
            # Whoever calls tries again, and knows for how long.
            retry_config={"max_retries": 0, "retry_timeout": settings.timeout},
        )
