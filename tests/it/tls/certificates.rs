//! Authorities, servers' and clients' certificates, good and bad.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// How a certificate is spoilt.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Its time is over.
    pub expired: bool,
    /// Its time has not come.
    pub early: bool,
    /// It may sign others, as self-made ones often may.
    pub authority: bool,
}

pub const GOOD: Flaws = Flaws { expired: false, early: false, authority: false };

/// An authority with its certificate in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn params(common_name: &str, names: &[&str], flaws: Flaws) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if flaws.expired {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    }
    if flaws.early {
        (params.not_before, params.not_after) = (date_time_ymd(2990, 1, 1), date_time_ymd(2999, 1, 1));
    }
    if flaws.authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

impl Authority {
    /// One that nobody vouches for; its certificate goes to `<name>.pem` in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params(name, &[], Flaws { authority: true, ..GOOD });
        let pem = params.self_signed(&key).unwrap().pem();
        write(folder, &format!("{name}.pem"), &pem);
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One for which this one vouches.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params(name, &[], Flaws { authority: true, ..GOOD });
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate: `<file>.pem`, with those between it and the authority, and `<file>.key`.
    pub fn sign(&self, folder: &Path, file: &str, (common_name, names): (&str, &[&str]), flaws: Flaws, with: &[&Self]) {
        let key = KeyPair::generate().unwrap();
        let certificate = params(common_name, names, flaws).signed_by(&key, &self.issuer).unwrap();
        let between: String = with.iter().map(|authority| authority.pem.as_str()).collect();
        write(folder, &format!("{file}.pem"), &format!("{}{between}", certificate.pem()));
        write_key(folder, file, &key.serialize_pem());
    }
}

/// A certificate that nobody else has signed.
pub fn self_signed(folder: &Path, file: &str, (common_name, names): (&str, &[&str]), flaws: Flaws) {
    let key = KeyPair::generate().unwrap();
    let certificate = params(common_name, names, flaws).self_signed(&key).unwrap();
    write(folder, &format!("{file}.pem"), &certificate.pem());
    write_key(folder, file, &key.serialize_pem());
}

pub fn write(folder: &Path, file: &str, text: &str) -> PathBuf {
    let path = folder.join(file);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn write_key(folder: &Path, file: &str, text: &str) {
    let path = write(folder, &format!("{file}.key"), text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
