//! What the emulator does not answer: refusals, failures of single entries, and how many requests there were.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use queue::{Address, Addresses, ErrorKind, Lane, Queue as _, Sqs};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::aws::{CANARY, sdk};

type Answer = Arc<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

/// Speaks just enough HTTP to answer as it is told.
struct Fake {
    endpoint: String,
    /// The name of each request and its body.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Fake {
    async fn answering(answer: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static) -> (Self, Sqs) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer): (Arc<Mutex<Vec<_>>>, Answer) = (Arc::default(), Arc::new(answer));
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, noted.clone(), answer.clone()));
            }
        });
        let address = |name: &str| Address::from(format!("{endpoint}/1/{name}"));
        let addresses = Addresses {
            events: address("events"),
            interactive: address("interactive"),
            bulk: address("bulk"),
        };
        let sqs = Sqs::new(&sdk(&endpoint), addresses, Duration::from_secs(60));
        (Self { endpoint, asked }, sqs)
    }

    fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(stream: TcpStream, asked: Arc<Mutex<Vec<(String, Value)>>>, answer: Answer) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut name, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|&n| n > 0)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(target) = line.strip_prefix("x-amz-target: amazonsqs.") {
                name = target.to_owned();
            } else if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        let (status, text) = answer(&name, &body);
        let text = text.to_string();
        asked.lock().unwrap().push((name, body));
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\n");
        let whole = format!("{head}content-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(whole.as_bytes()).await.ok()?;
    }
}

fn refusal(code: &str) -> Value {
    json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "no" })
}

/// As many messages as are asked for, each with a handle of its own.
fn messages(body: &Value) -> Value {
    let count = body["MaxNumberOfMessages"].as_u64().unwrap();
    let message = |i| json!({ "MessageId": format!("{i}"), "ReceiptHandle": format!("h{i}"), "Body": "x" });
    json!({ "Messages": (0..count).map(message).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_refusal_says_which_permission_to_give_and_no_secret() {
    let (fake, sqs) = Fake::answering(|_, _| (403, refusal("AccessDeniedException"))).await;
    let sent = sqs.send(Lane::Bulk, "x".into(), Duration::ZERO).await.unwrap_err();
    let received = sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(1)).await.unwrap_err();
    let looked = sqs.depth().await.unwrap_err();
    for (error, permission) in
        [(sent, "sqs:SendMessage"), (received, "sqs:ReceiveMessage"), (looked, "sqs:GetQueueAttributes")]
    {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false));
        assert!(
            error.to_string().contains(permission) && error.to_string().contains(&fake.endpoint),
            "{error}"
        );
        assert!(!format!("{error:?} {sqs:?}").contains(CANARY));
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_temporary() {
    let (_, sqs) = Fake::answering(|_, _| (503, refusal("ServiceUnavailable"))).await;
    let error = sqs.send_many(Lane::Bulk, vec!["x".into()]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
}

/// The usual case costs what it must: one request, that waits at the server.
#[tokio::test]
async fn one_lane_is_one_request() {
    let (fake, sqs) = Fake::answering(|_, body| (200, messages(body))).await;
    assert_eq!(sqs.receive(&[Lane::Bulk], 7, Duration::from_secs(60)).await.unwrap().len(), 7);
    let asked = fake.asked();
    assert_eq!(
        (asked.len(), &asked[0].1["WaitTimeSeconds"], &asked[0].1["VisibilityTimeout"]),
        (1, &json!(20), &json!(60))
    );
}

/// What the first lane has leaves less to ask of the next, and nothing of the one after.
#[tokio::test]
async fn several_lanes_are_asked_in_order_until_there_is_enough() {
    let (fake, sqs) = Fake::answering(|_, body| {
        let mut body = body.clone();
        if body["QueueUrl"].as_str().unwrap().ends_with("interactive") {
            body["MaxNumberOfMessages"] = json!(3);
        }
        (200, messages(&body))
    })
    .await;
    let got = sqs
        .receive(&[Lane::Interactive, Lane::Events, Lane::Bulk], 10, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(got.iter().filter(|m| m.lane == Lane::Interactive).count(), 3);
    assert_eq!(got.len(), 10);
    let asked: Vec<_> = fake.asked().into_iter().map(|(_, body)| body).collect();
    assert_eq!(asked.iter().map(|b| b["MaxNumberOfMessages"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 7]);
    assert!(asked.iter().all(|b| b["WaitTimeSeconds"] == 0));
}

/// Forty at once are four requests and a few; one alone is one, and not noticeably later.
#[tokio::test]
async fn acknowledgements_go_together_and_each_hears_of_its_own() {
    let (fake, sqs) = Fake::answering(|name, body| match name {
        "receivemessage" => (200, messages(body)),
        _ => {
            let entries = body["Entries"].as_array().unwrap();
            let (failed, done): (Vec<_>, Vec<_>) = entries.iter().partition(|e| e["ReceiptHandle"] == "h3");
            let failed = failed
                .iter()
                .map(|e| json!({ "Id": e["Id"], "Code": "InternalError", "SenderFault": false }));
            let done = done.iter().map(|e| json!({ "Id": e["Id"] }));
            (200, json!({ "Successful": done.collect::<Vec<_>>(), "Failed": failed.collect::<Vec<_>>() }))
        }
    })
    .await;
    let mut got = Vec::new();
    for _ in 0..4 {
        got.extend(sqs.receive(&[Lane::Bulk], 10, Duration::from_secs(20)).await.unwrap());
    }
    fake.asked();
    let acked = futures::future::join_all(got.iter().map(|m| sqs.ack(&m.receipt))).await;
    let asked = fake.asked();
    assert_eq!(
        asked.iter().map(|(_, b)| b["Entries"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [10; 4]
    );
    for (i, acked) in acked.iter().enumerate() {
        assert_eq!(
            acked.as_ref().err().map(|e| e.kind()),
            (i % 10 == 3).then_some(ErrorKind::Unavailable),
            "{i}"
        );
    }
    // What failed is still ours and can be tried again; what was done is over.
    assert_eq!(sqs.ack(&got[3].receipt).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(sqs.ack(&got[4].receipt).await.unwrap_err().kind(), ErrorKind::Lost);

    let got = sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(20)).await.unwrap();
    let start = Instant::now();
    sqs.ack(&got[0].receipt).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

/// Of a batch that failed in part only what failed is sent again, and a message that is not taken in the end is said.
#[tokio::test]
async fn what_a_batch_leaves_is_sent_again() {
    let refuse = |word: &'static str, times: usize| {
        let left = Mutex::new(times);
        move |_: &str, body: &Value| {
            let entries = body["Entries"].as_array().unwrap();
            let mut left = left.lock().unwrap();
            let (failed, done): (Vec<_>, Vec<_>) =
                entries.iter().partition(|e| e["MessageBody"] == word && *left > 0);
            *left = left.saturating_sub(1);
            let failed = failed
                .iter()
                .map(|e| json!({ "Id": e["Id"], "Code": "InternalError", "SenderFault": false }));
            let done =
                done.iter().map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
            (200, json!({ "Successful": done.collect::<Vec<_>>(), "Failed": failed.collect::<Vec<_>>() }))
        }
    };
    let bodies = || ["a", "b", "c"].map(str::to_owned).to_vec();
    let (fake, sqs) = Fake::answering(refuse("b", 1)).await;
    sqs.send_many(Lane::Bulk, bodies()).await.unwrap();
    let asked = fake.asked();
    let sent: Vec<Vec<&str>> = asked
        .iter()
        .map(|(_, b)| {
            b["Entries"].as_array().unwrap().iter().map(|e| e["MessageBody"].as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!(sent, [vec!["a", "b", "c"], vec!["b"]]);

    let (_, sqs) = Fake::answering(refuse("b", 99)).await;
    let failed = sqs.send_many(Lane::Bulk, bodies()).await.unwrap_err();
    assert_eq!((failed.kind(), failed.is_temporary()), (ErrorKind::Unavailable, true));
}

/// SQS's own word counts where it knows better than our clock.
#[tokio::test]
async fn a_delivery_that_sqs_calls_over_is_over() {
    let (fake, sqs) = Fake::answering(|name, body| match name {
        "receivemessage" => (200, messages(body)),
        _ => (400, refusal("MessageNotInflight")),
    })
    .await;
    let got = sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(20)).await.unwrap();
    assert_eq!(
        sqs.extend(&got[0].receipt, Duration::from_secs(60)).await.unwrap_err().kind(),
        ErrorKind::Lost
    );
    fake.asked();
    assert_eq!(sqs.ack(&got[0].receipt).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(fake.asked().len(), 0, "and is not asked for again");
}
