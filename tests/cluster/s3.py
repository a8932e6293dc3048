"""An S3 server on the loopback interface, which keeps its objects in memory."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import daemon, free_port, listens

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Bucket:
    """A folder of a bucket that is a DVC remote, seen without DVC."""

    name, folder = "bucket", "rsa/"

    def __init__(self, endpoint: str) -> None:
        import boto3

        self.client = boto3.client("s3", endpoint_url=endpoint)
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
        self.client.delete_object(Bucket=self.name, Key=self.folder + key)


@contextmanager
def s3_server(folder: Path) -> Iterator[Bucket]:
    """Serve S3 as long as the context lasts, with one empty bucket; from here on commands have its credentials."""
    os.environ |= CREDENTIALS
    port = free_port()
    # Not the script `moto_server`: the first one on the path may belong to another environment.
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with daemon("moto", [sys.executable, "-c", code], folder, lambda: listens(port), seconds=60):
        yield Bucket(f"http://127.0.0.1:{port}")
