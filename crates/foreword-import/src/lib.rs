//! Descriptions of balancers made files for foreword: text in, a file and the list of what it leaves out back. Nothing here
//! reads a file, opens a socket or knows the gateway.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod aws;
pub mod draft;
pub mod parts;

mod attributes;
mod cfn;
mod deployment;
mod fault;
mod health;
mod k8s;
mod tree;

pub use self::deployment::{Assigned, Deployment, NotAssigned};
pub use self::draft::Draft;
pub use self::fault::{Fault, Faults, Note, Place};

/// What came of a description.
#[derive(Debug)]
pub struct Imported {
    /// The file.
    pub draft: Draft,
    /// What of the description it leaves out, in the order of the description.
    pub notes: Vec<Note>,
}

/// Makes a CloudFormation template, JSON or YAML, a file.
///
/// # Errors
/// All that keeps it from becoming one, what only the deployment knows and was not given included.
pub fn cfn(text: &str, deployment: &Deployment) -> Result<Imported, Faults> {
    cfn::import(text, deployment)
}

/// Makes the Services of Kubernetes manifests a file, one or many documents.
///
/// # Errors
/// All that keeps them from becoming one, what only the cluster knows and was not given included.
pub fn k8s(text: &str, deployment: &Deployment) -> Result<Imported, Faults> {
    k8s::import(text, deployment)
}
