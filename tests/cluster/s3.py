"""An S3 server on the loopback interface, which keeps its objects in memory."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import Daemon, free_port, listens

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Bucket:
    """A bucket of a local S3 server, seen without DVC.

    Attributes
    ----------
    name, endpoint : str
        Name of the bucket, and address of the server.
    client : botocore.client.S3
        Client of the server.
    """

    name = "bucket"

    def __init__(self, endpoint: str) -> None:
        import boto3

        self.endpoint = endpoint
        keys = {"aws_access_key_id": "me", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=endpoint, **keys)

    def uploading(self) -> bool:
        """Return whether an upload in parts has begun and was neither completed nor given up."""
        return "Uploads" in self.client.list_multipart_uploads(Bucket=self.name)

    def sizes(self) -> dict[str, int]:
        """Return the size of every object, by its key."""
        return {item["Key"]: item["Size"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])}

    def cut(self, key: str) -> None:
        """Put the first half of an object in its place."""
        content = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        self.client.put_object(Bucket=self.name, Key=key, Body=content[: len(content) // 2])

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=self.name, Key=key)


@contextmanager
def s3_server(folder: Path) -> Iterator[Bucket]:
    """Serve S3 as long as the context lasts, with one empty bucket; clients need `CREDENTIALS` in their environment.

    Parameters
    ----------
    folder : Path
        Folder for the log.

    Yields
    ------
    Bucket
        The bucket.
    """
    port = free_port()
    # Not the script `moto_server`: the first one on the path may belong to another environment.
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    env = {**os.environ, **CREDENTIALS}
    with Daemon("moto", [sys.executable, "-c", code], folder, lambda: listens(port), env, seconds=60):
        bucket = Bucket(f"http://127.0.0.1:{port}")
        bucket.client.create_bucket(Bucket=bucket.name)
        yield bucket
