"""Object storage that speaks S3, in a process of its own."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
import dlt
import fsspec
from dlt.common.configuration.specs import AwsCredentials
from duckdb_extensions import import_extension

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

    def object_store_options(self) -> dict[str, str]:
        """What a Delta reader needs to reach it."""
        return {f"AWS_{name.removeprefix('aws_').upper()}": value for name, value in KEYS.items()} | {
            "AWS_REGION": KEYS["region_name"],
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def duckdb_secret(self) -> str:
        """What a DuckDB needs to reach it."""
        host = self.endpoint.removeprefix("http://")
        return (
            f"create secret (type s3, key_id '{KEYS['aws_access_key_id']}', secret '{KEYS['aws_secret_access_key']}', "
            f"region '{KEYS['region_name']}', endpoint '{host}', url_style 'path', use_ssl false)"
        )

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


_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """Starts it on a free port of loopback, and ends it.

    In a process of its own: what reads Delta tables keeps Python's lock while it waits for an answer.
    """
    import_extension("httpfs")  # with which DuckDB reads buckets
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        try:
            yield ObjectStorage(f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.communicate("")
