//! Requests for objects. Every reply is parsed into a JSON value first and converted from there: deserializing the Kubernetes
//! types from text, watch events and values compiled each of them three times, which was a third of the build.

use futures::FutureExt;
use kube::api::ListParams;
use kube::core::request::Error as Malformed;
use kube::core::{Request, Resource};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The page size of a list: a page is held as JSON in memory.
const PAGE: u32 = 250;

pub(super) fn requests<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

type Built = Result<http::Request<Vec<u8>>, Malformed>;

pub(super) async fn send(client: &Client, request: Built) -> Result<Value, Error> {
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// Like [`send`]; `None` if the object does not exist.
pub(super) async fn find(client: &Client, request: Built) -> Result<Option<Value>, Error> {
    match send(client, request).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

/// Lists objects page by page, or one page if `params` has a limit, and passes each to `take`; returns the list's
/// resource version.
pub(super) async fn list(
    client: &Client,
    requests: &Request,
    params: &ListParams,
    mut take: impl FnMut(Value) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut page = params.clone();
    page.limit = params.limit.or(Some(PAGE));
    loop {
        let mut reply = send(client, requests.list(&page)).boxed().await?;
        let objects: Vec<Value> = typed(reply["items"].take())?;
        objects.into_iter().try_for_each(&mut take)?;
        page.continue_token = reply["metadata"]["continue"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
        if page.continue_token.is_none() || params.limit.is_some() {
            return Ok(version(&reply));
        }
    }
}

pub(super) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn typed<K: DeserializeOwned>(object: Value) -> Result<K, Error> {
    serde_json::from_value(object).map_err(Error::SerdeError)
}
