//! What kube-rs costs for the same reads: `list` lists nodes and pods in pages of 500 into typed objects, the owners of
//! replica sets, and usage, as a collector without a store does each cycle; `reflect` keeps them in reflectors, as one with a store does. Prints a
//! line when all are there, and then waits for its end on standard input.

use std::collections::BTreeMap;
use std::io::Read;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::runtime::{reflector, watcher};
use kube::{Api, Client, Resource};
use serde::Deserialize;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::try_default().await?;
    let (nodes, pods) = (Api::<Node>::all(client.clone()), Api::<Pod>::all(client.clone()));
    match std::env::args().nth(1).as_deref() {
        Some("list") => {
            let count = (pages(&nodes).await?, pages(&pods).await?);
            let owners = metadata(&Api::<ReplicaSet>::all(client.clone())).await?;
            let measured = (usage(&client, "nodes").await?, usage(&client, "pods").await?);
            println!("{} nodes, {} pods, {owners} replica sets, {measured:?} measured", count.0, count.1);
        }
        Some("reflect") => {
            let (nodes, pods) = (reflect(nodes), reflect(pods));
            let (nodes, pods) = futures::join!(nodes, pods);
            println!("{} nodes, {} pods", nodes?.len(), pods?.len());
        }
        _ => return Err("expected list or reflect".into()),
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Reads every page, each object once, and keeps none: the cheapest that a typed list can be.
async fn pages<K>(api: &Api<K>) -> kube::Result<usize>
where
    K: Resource + Clone + std::fmt::Debug + for<'de> k8s_openapi::serde::Deserialize<'de>,
{
    let mut parameters = ListParams::default().limit(500);
    let mut count = 0;
    loop {
        let page = api.list(&parameters).await?;
        count += page.items.iter().filter(|it| it.meta().name.is_some()).count();
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => parameters = parameters.continue_token(&token),
            _ => return Ok(count),
        }
    }
}

/// The same of the metadata alone: whose a pod is.
async fn metadata(api: &Api<ReplicaSet>) -> kube::Result<usize> {
    let mut parameters = ListParams::default().limit(500);
    let mut count = 0;
    loop {
        let page = api.list_metadata(&parameters).await?;
        count += page.items.iter().filter(|it| it.metadata.owner_references.is_some()).count();
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => parameters = parameters.continue_token(&token),
            _ => return Ok(count),
        }
    }
}

/// Usage, as the Metrics API has it.
#[derive(Deserialize)]
struct Metrics {
    items: Vec<Measured>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read, as a collector would")]
struct Measured {
    metadata: ObjectMeta,
    timestamp: String,
    window: String,
    #[serde(default)]
    usage: BTreeMap<String, Quantity>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read, as a collector would")]
struct Container {
    name: String,
    usage: BTreeMap<String, Quantity>,
}

async fn usage(client: &Client, of: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/{of}");
    let metrics: Metrics = client.request(http::Request::get(path).body(Vec::new())?).await?;
    Ok(metrics.items.iter().filter(|it| it.metadata.name.is_some()).count())
}

/// Fills a store by a watch and returns it when it is complete.
async fn reflect<K>(api: Api<K>) -> Result<Vec<std::sync::Arc<K>>, Box<dyn std::error::Error>>
where
    K: Resource + Clone + std::fmt::Debug + Send + Sync + for<'de> k8s_openapi::serde::Deserialize<'de> + 'static,
    K::DynamicType: Default + Eq + std::hash::Hash + Clone,
{
    let (reader, writer) = reflector::store();
    let mut stream = std::pin::pin!(reflector(writer, watcher(api, watcher::Config::default().page_size(500))));
    while let Some(event) = stream.next().await {
        if let watcher::Event::InitDone = event? {
            return Ok(reader.state());
        }
    }
    Err("the watch ended".into())
}
