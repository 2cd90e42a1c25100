//! `tidewire serve`: the gateway from its configuration to its drain.
//!
//! Shape: read everything, bind, open the log, say where it listens, serve until a signal, drain, stop the log.
//! Bound: `[limits] drain_timeout` for the drain; a second signal ends it at once.
//! Failure: whatever keeps it from starting is the first line on standard error, and nothing is left half started.
//! Source: protocol section 10.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process,
    sync::Arc,
};

use anyhow::{Context, Result};
use tidewire_bus::{Bus, DiskEngine, Engine, MemoryEngine};
use tidewire_server::{Listeners, Reload, Server, ServerConfig, raise_open_files};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    command::Outcome,
    config::{
        Config, EngineKind,
        load::{Flags, load},
    },
    log, output,
};

pub(crate) async fn run(flags: &Flags) -> Result<Outcome> {
    let config = load(flags)?;
    log::start(&config.log)?;
    raise_open_files();
    let shutdown = on_signal()?;
    let listeners = bind(&config)?;
    let announcement = announcement(&config, &listeners)?;
    let bus = Bus::start(open(&config)?, config.bus());
    let settings = ServerConfig {
        conformance_echo: flags.conformance_echo,
        ..config.server()?
    };
    let server = Server::new(&settings, bus.clone(), listeners)?;
    reload_on_signal(server.reload())?;

    output::print(&announcement)?;
    log::release();
    tracing::info!(engine = ?config.engine, data_dir = %config.data_dir.display(), "serving");
    server.run(shutdown).await?;

    bus.stop().await;
    tracing::info!("stopped");
    Ok(Outcome::Done)
}

fn bind(config: &Config) -> Result<Listeners> {
    let public = config.listen.iter().map(listener);
    Ok(Listeners {
        public: public.collect::<Result<_>>()?,
        admin: config.admin.as_ref().map(listener).transpose()?,
        redirect: config
            .http
            .redirect_listen
            .as_ref()
            .map(listener)
            .transpose()?,
    })
}

fn listener(address: &SocketAddr) -> Result<TcpListener> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open(config: &Config) -> Result<Arc<dyn Engine>> {
    let folder = &config.data_dir;
    Ok(match config.engine {
        EngineKind::Memory => Arc::new(MemoryEngine::new(config.memory(), config.retention())),
        EngineKind::Disk => {
            let engine = DiskEngine::open(folder, config.disk(), config.retention())
                .with_context(|| format!("cannot open the log in {}", folder.display()))?;
            Arc::new(engine)
        }
    })
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at once.
fn on_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let number = any(&mut terminate, &mut interrupt).await;
        tracing::info!(number, "signal");
        token.cancel();
        let number = any(&mut terminate, &mut interrupt).await;
        process::exit(128 + number);
    });
    Ok(shutdown)
}

/// SIGHUP looks at the certificate files at once. It never ends the process, also where there are none.
fn reload_on_signal(reload: Reload) -> Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            tracing::info!("certificate files are looked at");
            reload.now();
        }
    });
    Ok(())
}

async fn any(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

/// The `ready` and `admin` lines, and what to try next.
fn announcement(config: &Config, listeners: &Listeners) -> Result<String> {
    let scheme = if config.insecure_http {
        "http"
    } else {
        "https"
    };
    let mut text = String::new();
    for listener in &listeners.public {
        writeln!(text, "ready {scheme}://{}", listener.local_addr()?)?;
    }
    if let Some(admin) = &listeners.admin {
        writeln!(text, "admin http://{}", admin.local_addr()?)?;
    }
    if let Some(listener) = listeners.public.first() {
        text.push_str(&try_next(config, listener.local_addr()?));
    }
    Ok(text)
}

/// Lines that work when pasted into a shell in the same folder.
fn try_next(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.insecure_http {
        "http"
    } else {
        "https"
    };
    // The only name under which a certificate of an authority is good.
    let domain = config
        .tls
        .acme
        .as_ref()
        .and_then(|acme| acme.domains.first());
    let host = domain.cloned().unwrap_or_else(|| host(address.ip()));
    let url = format!("{scheme}://{host}:{}", address.port());
    let made = !config.insecure_http && config.tls.cert.is_none() && config.tls.acme.is_none();
    let trust = match made {
        true => format!(
            "--cacert {} ",
            quoted(&config.data_dir.join("tls/cert.pem"))
        ),
        false => String::new(),
    };
    let mut text = format!("\nLab:        {url}/\n");
    if config.auth.keys.is_empty() && config.auth.anonymous.is_none() {
        text.push_str(&format!(
            "Publish:    curl {trust}-d '{{\"hello\":\"world\"}}' {url}/topics/demo.hello\n\
             Subscribe:  curl {trust}-N '{url}/sse?topic=demo.%3E&last=10'\n\
             Live data:  {}\n",
            live_data(config, &url)
        ));
    }
    text
}

/// The example that feeds this machine's own figures into topics.
fn live_data(config: &Config, url: &str) -> String {
    let mut line = String::from("cargo run --release --example machine");
    let default = Config::default();
    let elsewhere = url != DEFAULT_URL;
    let other_folder = config.data_dir != default.data_dir && url.starts_with("https");
    if elsewhere || other_folder {
        line.push_str(" --");
    }
    if elsewhere {
        line.push_str(&format!(" --url {url}"));
    }
    if other_folder && config.tls.cert.is_none() && config.tls.acme.is_none() {
        let cert = config.data_dir.join("tls/cert.pem");
        line.push_str(&format!(" --ca {}", quoted(&cert)));
    }
    line
}

/// The name to call an address by: the certificate that is made holds `localhost`.
fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) if ip == Ipv4Addr::LOCALHOST || ip.is_unspecified() => "localhost".into(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => "localhost".into(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

const DEFAULT_URL: &str = "https://localhost:8443";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(config: &Config, address: &str) -> String {
        try_next(config, address.parse().unwrap())
    }

    #[test]
    fn the_lines_to_try_fit_a_start_without_configuration() {
        let text = lines(&Config::default(), "127.0.0.1:8443");
        assert!(
            text.contains("Lab:        https://localhost:8443/\n"),
            "{text}"
        );
        assert!(text.contains(
            "curl --cacert tidewire-data/tls/cert.pem -d '{\"hello\":\"world\"}' https://localhost:8443/topics/demo.hello\n"
        ), "{text}");
        assert!(text.contains(
            "curl --cacert tidewire-data/tls/cert.pem -N 'https://localhost:8443/sse?topic=demo.%3E&last=10'\n"
        ), "{text}");
        assert!(text.ends_with("--example machine\n"), "{text}");
    }

    #[test]
    fn the_lines_to_try_follow_folder_port_and_scheme() {
        let mut config = Config {
            data_dir: "/var/lib/it's here".into(),
            ..Config::default()
        };
        let text = lines(&config, "[::1]:9000");
        assert!(
            text.contains(r"--cacert '/var/lib/it'\''s here/tls/cert.pem'"),
            "{text}"
        );
        assert!(
            text.contains("--example machine -- --url https://localhost:9000 --ca"),
            "{text}"
        );
        config.insecure_http = true;
        let text = lines(&config, "127.0.0.1:80");
        assert!(
            text.contains("curl -d") && !text.contains("cacert"),
            "{text}"
        );
        assert!(text.contains("-N 'http://localhost:80/sse?"), "{text}");
    }

    #[test]
    fn a_certificate_of_an_authority_is_good_under_its_own_name_only() {
        let mut config = Config::default();
        let acme = r#"domains = ["gate.example.com"]"#;
        config.tls.acme = Some(toml::from_str(acme).unwrap());
        let text = lines(&config, "0.0.0.0:443");
        assert!(text.contains("https://gate.example.com:443/"), "{text}");
        assert!(!text.contains("cacert"), "{text}");
    }

    #[test]
    fn nothing_that_needs_a_key_is_offered_without_one() {
        let mut config = Config::default();
        config.auth.anonymous = Some(tidewire_server::AnonymousConfig::default());
        let text = lines(&config, "192.0.2.7:8443");
        assert!(
            text.contains("https://192.0.2.7:8443/") && !text.contains("curl"),
            "{text}"
        );
    }
}
