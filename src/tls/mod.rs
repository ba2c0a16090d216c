//! TLS to nodes, in libpq's terms. Every connection to a node is made here or with a [`Connector`] from here.
//!
//! Whether a connection is encrypted, and how much of the server's certificate is checked, is decided once, when the settings are read
//! ([`crate::config`]). There is no mode that tries TLS and goes on without it: whoever sits between could choose for us.

mod failure;
pub(crate) mod files;
mod verifier;

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;
use verifier::Verifier;

/// What tokio-postgres and the pool ask for TLS.
pub type Connector = MakeRustlsConnect;

/// A connection whose messages its owner polls.
pub type Driven = Connection<Socket, <Connector as MakeTlsConnect<Socket>>::Stream>;

/// How a connection is protected. The names are libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: clear text, or a Unix socket.
    Disable,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted; the server's certificate comes from a known authority.
    VerifyCa,
    /// Encrypted; and it is for the host that was asked for.
    VerifyFull,
}

impl Mode {
    /// What libpq calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The authorities that this machine trusts.
    System,
    /// Those of a file.
    These(Vec<CertificateDer<'static>>),
}

/// A certificate with those that vouch for it, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How the connections to one node are protected.
#[derive(Clone)]
pub struct Tls {
    mode: Mode,
    connector: Connector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode.as_str())
    }
}

impl Tls {
    /// Clear text.
    ///
    /// # Errors
    /// A reason; none is known.
    pub fn none() -> Result<Self, String> {
        Self::new(Mode::Disable, &Roots::These(Vec::new()), None)
    }

    /// TLS by `mode`, believing `roots` as far as the mode asks for it, and with a certificate of our own where there is one.
    ///
    /// # Errors
    /// Why the certificates cannot be used.
    pub fn new(mode: Mode, roots: &Roots, identity: Option<Identity>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (trusted, named) = match roots {
            Roots::System if matches!(mode, Mode::VerifyCa | Mode::VerifyFull) => (files::system_roots(), Vec::new()),
            Roots::System => (Arc::new(RootCertStore::empty()), Vec::new()),
            Roots::These(certificates) => (Arc::new(files::store(certificates)?), certificates.clone()),
        };
        let verifier = Verifier::new(mode, trusted, named, provider.signature_verification_algorithms);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
                other => other.to_string(),
            })?,
            None => builder.with_no_client_auth(),
        };
        // A session that is taken up again is not checked again, and a certificate may have expired since.
        config.resumption = Resumption::disabled();
        // A server that is spoken to with sslnegotiation=direct asks for it, others take no notice.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self { mode, connector: Connector::new(config) })
    }

    /// How connections are protected.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// For a pool.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// `Unreachable`, or what the server says; where TLS is the reason, with what to do.
    pub async fn connect(&self, config: &Config) -> Result<(Client, Driven), Error> {
        config.connect(self.connector()).await.map_err(|error| self.failed(error))
    }

    /// The same of an error of a pool.
    pub fn failed(&self, error: tokio_postgres::Error) -> Error {
        failure::explain(error, self.mode)
    }
}
