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
    """A folder of a bucket that is a DVC remote, seen without DVC.

    Parameters
    ----------
    endpoint : str
        Address of the server.
    """

    name, folder = "bucket", "rsa/"

    def __init__(self, endpoint: str) -> None:
        import boto3

        keys = {"aws_access_key_id": "me", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=endpoint, **keys)
        self.client.create_bucket(Bucket=self.name)
        self.url = f"s3://{self.name}/{self.folder}"
        self.options = {"endpointurl": endpoint}

    def uploading(self) -> bool:
        """Return whether an upload in parts has begun and was neither completed nor given up."""
        return "Uploads" in self.client.list_multipart_uploads(Bucket=self.name)

    def sizes(self) -> dict[str, int]:
        """Return the size of every object, by its path in the folder."""
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=self.folder).get("Contents", [])
        return {item["Key"].removeprefix(self.folder): item["Size"] for item in listed}

    def cut(self, key: str) -> None:
        """Replace an object with its first half."""
        place = {"Bucket": self.name, "Key": self.folder + key}
        content = self.client.get_object(**place)["Body"].read()
        self.client.put_object(**place, Body=content[: len(content) // 2])

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=self.name, Key=self.folder + key)


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
        yield Bucket(f"http://127.0.0.1:{port}")
