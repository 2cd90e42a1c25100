//! Certificates: changed while the gateway runs, and shown by clients.

use std::{fs, io, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tidewire_server::ClientCertificates;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{DEADLINE, Gateway, trusting};

/// A request over a connection of its own; what comes back until the end.
async fn asked(gateway: &Gateway, client: ClientConfig) -> io::Result<String> {
    let asking = async {
        let socket = TcpStream::connect(gateway.address).await?;
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, socket).await?;
        let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(DEADLINE, asking)
        .await
        .expect("the connection hangs")
}

fn is_served(answer: &io::Result<String>) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[tokio::test]
async fn a_changed_certificate_is_used_for_new_connections_and_open_ones_stay() {
    let gateway = Gateway::with(|config| {
        config.tls_options.reload_interval = Duration::from_millis(100);
    });
    let mut open = gateway.websocket("/ws?topic=a").await;
    let key = fs::read_to_string(gateway.folder.path().join("key.pem")).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let changed = trusting(certificate.der()).with_no_client_auth();
    assert!(asked(&gateway, changed.clone()).await.is_err());

    replace(&gateway, &certificate.pem());
    gateway
        .counted("tidewire_tls_reloads_total{outcome=\"taken\"} 1")
        .await;

    assert!(is_served(&asked(&gateway, changed.clone()).await));
    let old = trusting(gateway.root()).with_no_client_auth();
    assert!(asked(&gateway, old).await.is_err());
    let publish = r#"{"op":"publish","ref":1,"topic":"a","data":"still here"}"#;
    open.send(Message::text(publish)).await.unwrap();
    let heard = async {
        while let Some(message) = open.next().await {
            if message.unwrap().to_text().unwrap().contains("still here") {
                return;
            }
        }
        panic!("the open connection was closed");
    };
    timeout(DEADLINE, heard).await.unwrap();

    // What does not fit is refused, and the certificate in use stays.
    replace(&gateway, "no certificate");
    gateway
        .counted("tidewire_tls_reloads_total{outcome=\"refused\"} 1")
        .await;
    assert!(is_served(&asked(&gateway, changed).await));
}

/// In one step: a look in between would find half of it.
fn replace(gateway: &Gateway, certificate: &str) {
    let fresh = gateway.folder.path().join("fresh.pem");
    fs::write(&fresh, certificate).unwrap();
    fs::rename(&fresh, gateway.folder.path().join("cert.pem")).unwrap();
}

/// An authority, and a certificate of a client by it.
struct Issued {
    authority: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn issued() -> Issued {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(["client".to_owned()]).unwrap();
    let certificate = client.signed_by(&key, &authority).unwrap();
    Issued {
        authority: authority.pem(),
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    }
}

/// Which clients are served: without a certificate, with a good one, with one of another authority.
async fn served(required: bool) -> [bool; 3] {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("clients.pem");
    let (good, foreign) = (issued(), issued());
    fs::write(&ca, &good.authority).unwrap();
    let gateway = Gateway::with(|config| {
        config.tls_options.clients = Some(ClientCertificates { ca, required });
    });
    let showing = |issued: &Issued| {
        let chain = vec![issued.certificate.clone()];
        trusting(gateway.root())
            .with_client_auth_cert(chain, issued.key.clone_key())
            .unwrap()
    };
    let without = trusting(gateway.root()).with_no_client_auth();
    [
        is_served(&asked(&gateway, without).await),
        is_served(&asked(&gateway, showing(&good)).await),
        is_served(&asked(&gateway, showing(&foreign)).await),
    ]
}

#[tokio::test]
async fn a_client_certificate_may_be_left_out_where_it_is_optional_only() {
    assert_eq!(served(false).await, [true, true, false]);
    assert_eq!(served(true).await, [false, true, false]);
}
