//! Certificates and keys from files in PEM form.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file, at least one.
///
/// # Errors
/// Why they cannot be used.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = fs::read(path).map_err(cannot_read)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| "is not PEM: it should have -----BEGIN CERTIFICATE----- lines")?;
    if certificates.is_empty() {
        return Err("has no certificate in it: it should have a -----BEGIN CERTIFICATE----- line".into());
    }
    Ok(certificates)
}

/// The private key of a file that only its owner can read, or root's with its group, as libpq has it.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let about = fs::metadata(path).map_err(cannot_read)?;
    let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & forbidden != 0 {
        return Err(format!(
            "can be read by others (mode {:04o}): chmod 0600 it, or 0640 where root owns it",
            about.mode() & 0o7777
        ));
    }
    let text = fs::read(path).map_err(cannot_read)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound => "has no private key in it that can be used: it should have a -----BEGIN PRIVATE \
                                   KEY----- line; one with a passphrase cannot be used"
            .into(),
        _ => "is not a private key in PEM form".into(),
    })
}

fn cannot_read(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "cannot be read: there is no such file".into(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Those certificates as authorities.
///
/// # Errors
/// Why one of them is none.
pub(super) fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        let unusable = |error| format!("its certificate number {} cannot be used: {error}", at + 1);
        store.add(certificate.clone()).map_err(unusable)?;
    }
    Ok(store)
}

/// The authorities that this machine trusts, read once. None on a machine without `ca-certificates`: then nobody is believed.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    };
    ROOTS.get_or_init(read).clone()
}
