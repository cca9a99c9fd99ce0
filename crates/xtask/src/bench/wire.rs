//! Bare HTTP to the emulator, without a signature or an SDK: what the server alone allows, whoever asks.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _, copy, sink},
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
        Ok(Self { server, stream: BufReader::with_capacity(1 << 20, stream), asked: 0 })
    }

    /// Calls SQS, with JSON in and out.
    pub fn sqs(&mut self, action: &str, body: &str) -> Result<String, String> {
        let target = format!("AmazonSQS.{action}");
        let headers = [("x-amz-target", &*target), ("content-type", "application/x-amz-json-1.0")];
        let length = self.ask("POST", "/", &headers, body)?;
        let mut answer = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
        self.stream.read_exact(&mut answer).map_err(|e| format!("{action}: {e}"))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
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

    /// Has the server copy an object. `from` and `to`: bucket and key.
    pub fn copy(&mut self, from: &str, to: &str) -> Result<(), String> {
        let length = self.ask("PUT", &format!("/{to}"), &[("x-amz-copy-source", from)], "")?;
        self.skip(length)
    }

    /// Reads an object and forgets it.
    pub fn read(&mut self, object: &str) -> Result<(), String> {
        let length = self.ask("GET", &format!("/{object}"), &[], "")?;
        self.skip(length)
    }

    fn skip(&mut self, length: u64) -> Result<(), String> {
        match copy(&mut (&mut self.stream).take(length), &mut sink()) {
            Ok(read) if read == length => Ok(()),
            Ok(read) => Err(format!("the answer ended after {read} of {length} bytes")),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Sends a request; the length of the answer's body, which is to be read now.
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<u64, String> {
        use std::fmt::Write as _;
        if self.asked == REQUESTS {
            *self = Self::to(self.server)?;
        }
        self.asked += 1;
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes()).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).map_err(|e| e.to_string())?;
            match line.trim_end() {
                "" if read > 0 => break,
                _ if read == 0 => return Err(format!("{method} {path}: the connection was closed")),
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        if !lines.first().is_some_and(|status| status.contains(" 200 ")) {
            return Err(format!("{method} {path}: {}", lines.join("; ")));
        }
        let length = lines.iter().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
        length.ok_or_else(|| format!("{method} {path}: an answer without a length"))
    }
}

/// The values of all fields of this name that are texts.
pub fn values<'a>(json: &'a str, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let starts: Vec<_> = json.match_indices(&format!(r#""{field}": ""#)).map(|(i, m)| i + m.len()).collect();
    starts.into_iter().filter_map(move |i| json[i..].split('"').next())
}
