//! What to do where TLS is the reason that a node cannot be connected to.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::Mode;
use crate::error::Error;

const PLAIN: &str = "set ssl = on there, with a certificate; only where the network is private by itself, say \
                     sslmode=disable in the node's url";
const SIGNER: &str = "name the certificate of the authority that signed it, or the server's own, by sslrootcert";
const NAME: &str = "connect by a name that the certificate has as subjectAltName (a CN alone does not count), get it \
                    another certificate, or check only who signed it: sslmode=verify-ca";
const DATES: &str = "renew the server's certificate, and see that the clocks are right";
const OURS: &str =
    "sslcert and sslkey have to be a certificate that is signed by the authority of the server's ssl_ca_file";
const OTHER: &str =
    "see the server's log, and its certificate: X.509 version 3, such as openssl req -x509 -addext makes it";

/// The error with a remedy, where there is one that we know of.
pub(super) fn explain(error: tokio_postgres::Error, mode: Mode) -> Error {
    let remedy = remedy(&error, mode);
    let error = Error::from(error);
    match remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

fn remedy(error: &tokio_postgres::Error, mode: Mode) -> Option<&'static str> {
    if let Some(error) = tls_error(error) {
        return of_tls(error);
    }
    // The driver has no other way to tell.
    let cause = error.source()?.to_string();
    (mode != Mode::Disable && cause == "server does not support TLS").then_some(PLAIN)
}

/// The error of the TLS library, which the driver hides in two others.
fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn of_tls(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(why) => Some(of_certificate(why)),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        ) => Some(OURS),
        _ => Some(OTHER),
    }
}

fn of_certificate(why: &CertificateError) -> &'static str {
    match why {
        // Also of an authority that was made anew under its old name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => SIGNER,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => NAME,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => DATES,
        // `webpki` says this of a certificate that may sign others, as self-made ones often may.
        CertificateError::Other(_) => {
            "the certificate cannot be used as it is: name it itself by sslrootcert, or make \
                                       one of X.509 version 3 that is no authority's"
        }
        _ => OTHER,
    }
}
