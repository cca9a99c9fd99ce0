"""A Celery application on SQS with one task that does nothing.

    noop.py fill COUNT             fills its queue
    celery --app noop worker ...   works on it
"""
import os
import sys

import boto3
from celery import Celery

URL = os.environ["NOOP_QUEUE"]

app = Celery(broker=os.environ["AWS_ENDPOINT_URL"].replace("http://", "sqs://test:test@"))
app.conf.broker_transport_options = {
    "region": os.environ["AWS_REGION"],
    "is_secure": False,
    "predefined_queues": {"celery": {"url": URL, "access_key_id": "test", "secret_access_key": "test"}},
    "visibility_timeout": 120,
    "wait_time_seconds": 20,
    # Seconds between two looks when it has as many messages as it may: the default lets it take eight a second.
    "polling_interval": float(os.environ["NOOP_POLLING_INTERVAL"]),
}
app.conf.worker_prefetch_multiplier = int(os.environ["NOOP_PREFETCH"])
# As a worker of ours does it: acknowledged when it is done and not before.
app.conf.task_acks_late = True
app.conf.task_ignore_result = True
app.conf.worker_enable_remote_control = False


@app.task(name="noop")
def noop():
    pass


def fill(count):
    """Sends one as Celery does, and the rest as copies of it, ten at a time."""
    sqs = boto3.client("sqs")
    noop.delay()
    [sent] = sqs.receive_message(QueueUrl=URL, WaitTimeSeconds=5)["Messages"]
    sqs.delete_message(QueueUrl=URL, ReceiptHandle=sent["ReceiptHandle"])
    for first in range(0, count, 10):
        entries = [{"Id": str(n), "MessageBody": sent["Body"]} for n in range(min(10, count - first))]
        sqs.send_message_batch(QueueUrl=URL, Entries=entries)


if __name__ == "__main__":
    fill(int(sys.argv[2]))
