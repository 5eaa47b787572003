//! Asking the API for objects. Every answer is read as one JSON value first, and a type is made of that: a Kubernetes type
//! that is read from text, from watch events and from values is compiled three times, which was a third of the build.

use futures::FutureExt;
use kube::api::ListParams;
use kube::core::request::Error as Malformed;
use kube::core::{Request, Resource};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// So many objects are asked for at once: each is held as JSON until it is taken.
const PAGE: u32 = 250;

pub(super) fn requests<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

type Made = Result<http::Request<Vec<u8>>, Malformed>;

pub(super) async fn ask(client: &Client, request: Made) -> Result<Value, Error> {
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// The same; `None` for what is not there.
pub(super) async fn find(client: &Client, request: Made) -> Result<Option<Value>, Error> {
    match ask(client, request).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

/// Asks for the objects of a list in pages, unless so many are enough as a page has, and takes each; returns the version at which the list was made.
pub(super) async fn list(
    client: &Client,
    requests: &Request,
    params: &ListParams,
    mut take: impl FnMut(Value) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut page = params.clone();
    page.limit = params.limit.or(Some(PAGE));
    loop {
        let mut answer = ask(client, requests.list(&page)).boxed().await?;
        let objects: Vec<Value> = typed(answer["items"].take())?;
        objects.into_iter().try_for_each(&mut take)?;
        page.continue_token =
            answer["metadata"]["continue"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
        if page.continue_token.is_none() || params.limit.is_some() {
            return Ok(version(&answer));
        }
    }
}

/// The version of an object or a list, for a watch to go on from.
pub(super) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn typed<K: DeserializeOwned>(object: Value) -> Result<K, Error> {
    serde_json::from_value(object).map_err(Error::SerdeError)
}
