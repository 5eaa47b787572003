//! Bearer tokens: what fits into a header, and those in files, which others renew. Imports `input`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::AUTHORIZATION;
use kube::Client;
use kube::client::Body;

use crate::input;

/// How long a token that was read from a file is used, as by kubectl.
pub(super) const FRESH: Duration = Duration::from_secs(60);
/// The largest file with a token that is read, in KiB; a header that long is accepted nowhere.
const MOST_KIB: u64 = 1024;

/// A file with a token, and the header of what it had at first.
pub(super) type File = (PathBuf, HeaderValue);

/// The value of the header; `None` for what is none, such as more than one line.
pub(super) fn header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The token in a file, without the blanks and line ends around it; why there is none.
pub(super) fn read(file: &Path) -> std::io::Result<String> {
    let text = input::text(file, MOST_KIB)?;
    Some(text.trim()).filter(|token| !token.is_empty()).map(str::to_owned).ok_or(std::io::Error::other("it is empty"))
}

/// A client that sends what is in the file, and what was there last where it cannot be read any more.
pub(super) fn renewed(client: Client, (file, first): File, fresh: Duration) -> Client {
    let known = Arc::new(Mutex::new((first, Instant::now())));
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1.elapsed() >= fresh {
            let anew = read(&file).ok().and_then(|token| header(&token));
            *known = (anew.unwrap_or_else(|| known.0.clone()), Instant::now());
        }
        request.headers_mut().insert(AUTHORIZATION, known.0.clone());
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(service, "default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_in_a_file_is_read_anew_and_the_last_one_stays_where_that_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let echo = tower::service_fn(|request: http::Request<Body>| async move {
            let said = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
            Ok::<_, kube::Error>(http::Response::new(Body::from(said.into_bytes())))
        });
        let client = Client::new(echo, "default");
        let client = renewed(client, (file.path().to_owned(), header("first").unwrap()), Duration::ZERO);
        for (written, sent) in
            [("", "first"), ("second\r\n", "second"), ("a\nb", "second"), ("\u{feff}third ", "third")]
        {
            std::fs::write(file.path(), written).unwrap();
            let answer = client.send(http::Request::new(Body::empty())).await.unwrap();
            let said = answer.into_body().collect_bytes().await.unwrap();
            assert_eq!(said, format!("Bearer {sent}"), "{written:?}");
        }
    }
}
