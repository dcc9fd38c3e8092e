"""Object storage that speaks S3, in this process."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
import dlt
import fsspec
from dlt.common.configuration.specs import AwsCredentials
from moto.server import ThreadedMotoServer

KEYS = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up-too", "region_name": "us-east-1"}


class Bucket(NamedTuple):
    """A bucket, and where it is."""

    name: str
    endpoint: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def credentials(self) -> AwsCredentials:
        """What dlt needs to reach it."""
        return AwsCredentials(**KEYS, endpoint_url=self.endpoint)

    def destination(self) -> Any:
        """dlt's filesystem destination on it."""
        return dlt.destinations.filesystem(self.url, credentials=self.credentials())

    def environment(self) -> dict[str, str]:
        """The same for a process."""
        prefix = "DESTINATION__FILESYSTEM__"
        keys = {f"{prefix}CREDENTIALS__{name.upper()}": value for name, value in KEYS.items()}
        return keys | {f"{prefix}BUCKET_URL": self.url, f"{prefix}CREDENTIALS__ENDPOINT_URL": self.endpoint}

    def filesystem(self) -> Any:
        """A file system of its own, as another process would have one."""
        client = {"region_name": KEYS["region_name"]}
        return fsspec.filesystem(
            "s3",
            key=KEYS["aws_access_key_id"],
            secret=KEYS["aws_secret_access_key"],
            endpoint_url=self.endpoint,
            client_kwargs=client,
            skip_instance_cache=True,
            use_listings_cache=False,
        )


class ObjectStorage:
    """The server."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def bucket(self) -> Bucket:
        """An empty one."""
        bucket = Bucket(f"lake-{uuid.uuid4().hex[:8]}", self._endpoint)
        boto3.client("s3", endpoint_url=self._endpoint, **KEYS).create_bucket(Bucket=bucket.name)
        return bucket


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """Starts it on a free port of loopback, and ends it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield ObjectStorage(f"http://{host}:{port}")
    finally:
        server.stop()
