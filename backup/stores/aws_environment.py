"""What the environment may say of a bucket: who this machine is, and nothing else.

obstore reads every `AWS_*` there is, and takes some for more than what it is told:
AWS_ENDPOINT_URL_S3 leads to another server, AWS_SESSION_TOKEN joins keys that it does not belong
to. In a terminal they are somebody's own, and mean other buckets.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_PREFIX = "AWS_"
# Where no keys are given: those of the machine, of its container, or of whoever started it.
_IDENTITY = frozenset(
    (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
        *("AWS_ENDPOINT_URL_STS", "AWS_STS_ENDPOINT"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_METADATA_ENDPOINT"),
        "AWS_IMDSV1_FALLBACK",
    )
)


@contextmanager
def hidden_aws_variables(*, but_identity: bool) -> Iterator[None]:
    """Take `AWS_*` out of the environment while a bucket is made, which reads it then only.

    Not for two at a time: a process makes its buckets one after the other when it starts.
    """
    kept = _IDENTITY if but_identity else frozenset[str]()
    # libraries take the lower case for the same
    names = [name for name in os.environ if name.upper().startswith(_PREFIX)]
    hidden = {name: os.environ.pop(name) for name in names if name.upper() not in kept}
    try:
        yield
    finally:
        os.environ.update(hidden)
