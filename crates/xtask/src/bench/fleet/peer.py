"""The worker that the field writes first, in Python with boto3; and what a bench needs done to buckets and queues.

Asked by lines of words with tabs between them, it answers each with the seconds that it took by its own clock: one
process for a whole bench, so that starting Python and loading the SDK are not measured.

    peer.py BUCKET SCRATCH
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import boto3
import botocore.config

BUCKET, SCRATCH = sys.argv[1:]
s3 = boto3.client("s3", config=botocore.config.Config(max_pool_connections=16))
sqs = boto3.client("sqs")


def convert(key, to, *arguments):
    """Download, ffmpeg, upload. The last argument names what ffmpeg writes."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        s3.download_file(BUCKET, key, f"{folder}/in0")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["ffmpeg", *arguments], cwd=folder, check=True, **quiet)
        s3.upload_file(f"{folder}/{arguments[-1].removeprefix('file:')}", BUCKET, to)


def upload(file, key):
    s3.upload_file(file, BUCKET, key)


def scatter(prefix, count, size):
    """Puts many objects, each with bytes of its own."""
    rest = os.urandom(int(size) - 8)

    def put(n):
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}{n:05}.bin", Body=n.to_bytes(8, "big") + rest)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(int(count))))


def forget(prefix):
    """Removes all that lies there, with its versions: the emulator keeps them in memory."""
    listing = "list_objects_v2" if "AWS_ENDPOINT_URL_S3" in os.environ else "list_object_versions"
    for page in s3.get_paginator(listing).paginate(Bucket=BUCKET, Prefix=prefix):
        found = [o for kind in ("Contents", "Versions", "DeleteMarkers") for o in page.get(kind, [])]
        objects = [{name: o[name] for name in ("Key", "VersionId") if name in o} for o in found]
        if objects:
            s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})


def expect(prefix, count):
    """A copy that copies nothing is fast."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    found = sum(page["KeyCount"] for page in pages)
    assert found == int(count), f"{found} objects below {prefix} instead of {count}"


def send(url, body, count):
    for first in range(0, int(count), 10):
        entries = [{"Id": str(n), "MessageBody": body} for n in range(min(10, int(count) - first))]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)


def one_by_one(url, count):
    """The loop that everybody writes first."""
    done = 0
    while done < int(count):
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            done += 1


def ten_by_ten(url, count):
    """The same by somebody who has read about batches."""
    done = 0
    while done < int(count):
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
        if entries:
            done += len(sqs.delete_message_batch(QueueUrl=url, Entries=entries)["Successful"])


if __name__ == "__main__":
    pathlib.Path(SCRATCH).mkdir(parents=True, exist_ok=True)
    tasks = {t.__name__: t for t in (convert, upload, scatter, forget, expect, send, one_by_one, ten_by_ten)}
    for line in sys.stdin:
        name, *words = line.rstrip("\n").split("\t")
        start = time.monotonic()
        tasks[name](*words)
        print(time.monotonic() - start, flush=True)
