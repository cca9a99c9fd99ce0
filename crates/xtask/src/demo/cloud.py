"""What a fleet needs around it, made with the ordinary AWS SDK: a bucket that notifies a queue, a topic to subscribe to.

    cloud.py setup            makes them, prints the environment that `videorec work` wants
    cloud.py upload FOLDER    uploads a folder below the watched prefix
    cloud.py told             prints what came to the queue that is subscribed to the topic
"""
import json
import pathlib
import sys

import boto3

BUCKET, WATCHED, MADE = "acme-recordings", "inbox", "library"
s3, sqs, sns = (boto3.client(service) for service in ("s3", "sqs", "sns"))


def queue(name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def setup():
    s3.create_bucket(Bucket=BUCKET)
    # Versions: what is worked on stays what it was, whoever uploads another file under its name.
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    env = {"VIDEOREC_STORE": f"s3://{BUCKET}/{MADE}", "VIDEOREC_WATCH": f"s3://{BUCKET}/{WATCHED}"}
    for lane in ("events", "interactive", "bulk"):
        _, dead = queue(f"videorec-{lane}-dead")
        redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": "6"})
        url, arn = queue(f"videorec-{lane}", RedrivePolicy=redrive)
        env[f"VIDEOREC_QUEUE_{lane.upper()}"] = url
        if lane == "events":
            notify = {
                "QueueArn": arn,
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{WATCHED}/"}]}},
            }
            s3.put_bucket_notification_configuration(
                Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [notify]}
            )
    topic = sns.create_topic(Name="videorec-alerts")["TopicArn"]
    _, told = queue("videorec-told")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=told)
    env["VIDEOREC_TOPIC"] = topic
    for name, value in env.items():
        print(f"{name}={value}")


def upload(folder):
    for file in sorted(pathlib.Path(folder).rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            key = f"{WATCHED}/{file.relative_to(folder).as_posix()}"
            s3.upload_file(str(file), BUCKET, key)
            print(f"  uploaded s3://{BUCKET}/{key}", flush=True)


def told():
    url = sqs.get_queue_url(QueueName="videorec-told")["QueueUrl"]
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5).get("Messages", []):
        body = json.loads(message["Body"])
        alert = json.loads(body["Message"])
        attributes = {name: value["Value"] for name, value in body.get("MessageAttributes", {}).items()}
        print(f"  {body['Subject']}\n  {alert['cause']}\n  {alert['next']}\n  attributes: {attributes}")


if __name__ == "__main__":
    {"setup": setup, "upload": upload, "told": told}[sys.argv[1]](*sys.argv[2:])
