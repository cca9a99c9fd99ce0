//! Bare HTTP to the emulator, without a signature or an SDK: what the server alone allows, whoever asks.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// A connection that is kept.
pub struct Wire {
    server: SocketAddr,
    stream: BufReader<TcpStream>,
    asked: u32,
}

/// The emulator closes a connection after a thousand requests.
const REQUESTS: u32 = 500;

impl Wire {
    pub fn to(server: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(server).map_err(|e| format!("{server} does not answer: {e}"))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { server, stream: BufReader::new(stream), asked: 0 })
    }

    /// Calls SQS, with JSON in and out.
    pub fn sqs(&mut self, action: &str, body: &str) -> Result<String, String> {
        if self.asked == REQUESTS {
            *self = Self::to(self.server)?;
        }
        self.asked += 1;
        let said = self.exchange(action, body).map_err(|e| format!("{action}: {e}"))?;
        let (head, answer) = said;
        if head.starts_with("HTTP/1.1 200 ") { Ok(answer) } else { Err(format!("{action}: {head}{answer}")) }
    }

    /// The head and the body of the answer.
    fn exchange(&mut self, action: &str, body: &str) -> io::Result<(String, String)> {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonSQS.{action}\r\n\
             content-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let fields = head.to_ascii_lowercase();
        let length = fields.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
        let mut answer = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
        self.stream.read_exact(&mut answer)?;
        Ok((head, String::from_utf8_lossy(&answer).into_owned()))
    }

    /// Makes a queue with a dead-letter queue, as a worker's are: what the emulator looks at is the same for all. Its URL.
    pub fn queue(&mut self, name: &str) -> Result<String, String> {
        self.sqs("CreateQueue", &format!(r#"{{"QueueName":"{name}-dead"}}"#))?;
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}-dead");
        let redrive = format!(r#"{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"6\"}}"#);
        let attributes = format!(r#"{{"RedrivePolicy":"{redrive}"}}"#);
        let made =
            self.sqs("CreateQueue", &format!(r#"{{"QueueName":"{name}","Attributes":{attributes}}}"#))?;
        let url = values(&made, "QueueUrl").next().map(str::to_owned);
        url.ok_or_else(|| format!("no queue was made: {made}"))
    }

    /// How many messages a queue has: waiting, and with a receiver.
    pub fn depth(&mut self, url: &str) -> Result<(u64, u64), String> {
        const WAITING: &str = "ApproximateNumberOfMessages";
        const IN_FLIGHT: &str = "ApproximateNumberOfMessagesNotVisible";
        let names = format!(r#"{{"QueueUrl":"{url}","AttributeNames":["{WAITING}","{IN_FLIGHT}"]}}"#);
        let found = self.sqs("GetQueueAttributes", &names)?;
        let number = |name| values(&found, name).next()?.parse().ok();
        number(WAITING).zip(number(IN_FLIGHT)).ok_or_else(|| format!("the queue has no depth: {found}"))
    }
}

/// The values of all fields of this name that are texts.
pub fn values<'a>(json: &'a str, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let starts: Vec<_> = json.match_indices(&format!(r#""{field}": ""#)).map(|(i, m)| i + m.len()).collect();
    starts.into_iter().filter_map(move |i| json[i..].split('"').next())
}
