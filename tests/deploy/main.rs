//! What this repository gives to other programs that start it or its servers: `docker-compose.yml` and the manifests for Kubernetes.
//! Neither a container engine nor a cluster is needed: files are held against the schemas that their authors publish, and command
//! lines against our own parser. What containers do is not tested here.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod compose;
mod kubernetes;
mod wheel;
