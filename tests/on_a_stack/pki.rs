//! Certificates of authorities that tests make up.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// A certificate authority of a test.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Parameters of a certificate for these hosts.
pub fn certificate(common_name: &str, hosts: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.subject_alt_names = hosts.to_vec();
    params
}

/// Writes a certificate and its key: the files `name`.pem and `name`.key.
pub fn issue(
    folder: &Path,
    by: &Authority,
    name: &str,
    params: &CertificateParams,
) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.clone().signed_by(&key, by).unwrap();
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    std::fs::write(file("pem"), certificate.pem()).unwrap();
    std::fs::write(file("key"), key.serialize_pem()).unwrap();
    (file("pem"), file("key"))
}
