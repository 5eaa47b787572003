//! Asking the API for objects. Every answer is read as one JSON value first, and a type is made of that: a Kubernetes type
//! that is read from text, from watch events and from values is compiled three times, which was a third of the build.

use kube::api::ListParams;
use kube::core::request::Error as Malformed;
use kube::core::{Request, Resource};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The requests for objects of a kind, in a namespace or in none.
pub(super) fn requests<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

/// Sends a request.
pub(super) async fn ask(client: &Client, request: Result<http::Request<Vec<u8>>, Malformed>) -> Result<Value, Error> {
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// The same; `None` for what is not there.
pub(super) async fn find(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, Malformed>,
) -> Result<Option<Value>, Error> {
    match ask(client, request).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

/// The objects of a list, and the version at which it was made.
pub(super) async fn list(
    client: &Client,
    requests: &Request,
    params: &ListParams,
) -> Result<(Vec<Value>, String), Error> {
    let mut answer = ask(client, requests.list(params)).await?;
    let version = version(&answer);
    Ok((serde_json::from_value(answer["items"].take()).map_err(Error::SerdeError)?, version))
}

/// The version of an object or a list, for a watch to go on from.
pub(super) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

/// An object of this type.
pub(super) fn typed<K: DeserializeOwned>(object: Value) -> Result<K, Error> {
    serde_json::from_value(object).map_err(Error::SerdeError)
}
