//! The command line as typed: verbs, options, help. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::audit_args::AuditVerb;
use super::capability_args::CapabilityVerb;
use super::token_args::TokenVerb;
use super::totp_args::TotpVerb;
use crate::base::units::{HumanDuration, UnitError};
use crate::config::Flags;

/// Where the configuration is unless `--config` says otherwise.
pub(super) const DEFAULT_CONFIG: &str = "/etc/palisade/palisade.toml";

/// The front line of a web app in one process: TLS, proxy, hardening.
///
/// Without a verb: what is running and what needs attention.
#[derive(Debug, Parser)]
#[command(
    name = "palisade",
    version,
    color = clap::ColorChoice::Never,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable, 78 bad configuration.\n\n\
                  Examples:\n  palisade demo\n  palisade run --site app.localhost --upstream 127.0.0.1:3000\n  palisade init && palisade check && palisade run"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// How to reach the daemon and how to answer.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ClientArgs {
    /// Control socket of the daemon [default: where a daemon of this user or the system has it]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Answer in JSON, for scripts
    #[arg(long)]
    pub json: bool,
    /// Code of a second factor, for what wants one [default: PALISADE_TOTP, or asked for on a terminal]
    #[arg(long, value_name = "CODE")]
    pub totp: Option<String>,
    /// Whether it was said that the daemon is another version: once is enough
    #[arg(skip)]
    pub skew_told: std::cell::Cell<bool>,
}

/// A verb with verbs below it; what is written between the two is for the one below.
#[derive(Debug, Args)]
pub(super) struct Group<V: Subcommand> {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    pub verb: V,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve, from a file or from the options alone
    #[command(
        after_help = "Examples:\n  palisade run\n  palisade run --config ./palisade.toml\n  palisade run --site app.localhost --upstream 127.0.0.1:3000 --https 127.0.0.1:8443 --http 127.0.0.1:8080"
    )]
    Run(Box<RunArgs>),
    /// Try it: the real daemon with a built-in app on https://localhost:8443, no file, no privileges
    #[command(after_help = "Example:\n  palisade demo --https 9443 --http 9080")]
    Demo(DemoArgs),
    /// Write the commented default configuration, never over an existing file
    #[command(after_help = "Examples:\n  sudo palisade init\n  palisade init ./palisade.toml")]
    Init(InitArgs),
    /// Say what is wrong with a configuration, all of it at once; opens no socket
    #[command(
        after_help = "Examples:\n  palisade check\n  palisade check --config ./palisade.toml --json"
    )]
    Check(CheckArgs),
    /// Make the running daemon take the configuration anew; on any error it keeps the old one
    #[command(after_help = "Example:\n  palisade check && palisade reload")]
    Reload(ClientArgs),
    /// What is running: sites, certificates, capabilities, counters
    #[command(after_help = "Examples:\n  palisade status\n  palisade status --json | jq .sites")]
    Status(ClientArgs),
    /// Watch it live: what needs attention, rates, requests, certificates
    #[command(
        after_help = "Examples:\n  palisade top\n  palisade top --rate 10s --ascii\n  palisade top --once\n  palisade top --once --json | jq .status.attention"
    )]
    Top(TopArgs),
    /// Certificates: what is served, renewing, importing, and the local CA
    #[command(
        after_help = "Examples:\n  palisade cert list\n  palisade cert renew app.example.com\n  sudo palisade cert trust"
    )]
    Cert(Group<CertVerb>),
    /// What happens, line by line: requests as they end, lines of the log, changes
    #[command(
        after_help = "Filters are for requests and must all hold; use --kind request to see nothing else.\n\nExamples:\n  palisade logs\n  palisade logs --kind request --status 5xx --slower 200ms\n  palisade logs --site app.example.com --json | jq .path"
    )]
    Logs(LogsArgs),
    /// Which steps a request would meet, in order, and which one decides; or what the app said to one that failed
    ///
    /// Nothing is sent. With --request: the app's own answer where hide_errors kept it from the client. It may hold
    /// secrets of the app, so it takes the role operator.
    #[command(
        after_help = "Examples:\n  palisade explain https://app.example.com/login --ip 203.0.113.9\n  palisade explain https://app.example.com/api/refund --method POST --header x-version:2\n  palisade explain --request 01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11"
    )]
    Explain(ExplainArgs),
    /// The keys that secrets in the state are sealed with
    #[command(after_help = "Example:\n  palisade crypto rotate")]
    Crypto(Group<CryptoVerb>),
    /// Who changed what and when, and whether that log is as it was written
    #[command(
        after_help = "Examples:\n  palisade audit tail\n  palisade audit search --action certificate --since 7d\n  palisade audit verify"
    )]
    Audit(Group<AuditVerb>),
    /// Tokens for scripts and other machines: what stands for an operator on the ops address
    #[command(
        after_help = "Examples:\n  palisade token create ci --role operator --expires 90d\n  palisade token list\n  palisade token revoke ci"
    )]
    Token(Group<TokenVerb>),
    /// Second factors: devices whose codes confirm what destroys or grants something
    #[command(
        after_help = "Once there is one, importing certificates, rotating keys, tokens, switches and factors want a code:\n--totp CODE, PALISADE_TOTP in the environment, or typed when asked.\n\nExamples:\n  palisade totp enroll anna-phone\n  palisade totp list\n  palisade crypto rotate --totp 123456"
    )]
    Totp(Group<TotpVerb>),
    /// Groups of guards: which are enforced, and switching one off for a while
    #[command(
        after_help = "Examples:\n  palisade capability list\n  palisade capability set security_headers observe --for 30m\n  palisade capability set security_headers configured"
    )]
    Capability(Group<CapabilityVerb>),
    /// Print the completion script of a shell
    #[command(
        after_help = "Example:\n  palisade completions bash > /etc/bash_completion.d/palisade"
    )]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, of palisade or of one verb
    #[command(
        after_help = "Examples:\n  palisade man | man -l -\n  palisade man cert trust | man -l -"
    )]
    Man {
        /// The verb, such as `run` or `cert trust`
        #[arg(value_name = "VERB")]
        verb: Vec<String>,
    },
}

impl ClientArgs {
    /// Takes over what was written before the verb; what is written behind it counts more.
    fn take(&mut self, general: &Self) {
        self.socket = self.socket.take().or_else(|| general.socket.clone());
        self.totp = self.totp.take().or_else(|| general.totp.clone());
        self.json |= general.json;
    }

    /// The first of these options that was given.
    const fn given(&self) -> Option<&'static str> {
        match self {
            Self { socket: Some(_), .. } => Some("--socket"),
            Self { json: true, .. } => Some("--json"),
            Self { totp: Some(_), .. } => Some("--totp"),
            _ => None,
        }
    }
}

/// What a verb has of the options of every client.
enum Takes<'a> {
    All(&'a mut ClientArgs),
    /// It asks no daemon.
    Json(&'a mut bool),
    Nothing,
}

impl Verb {
    /// Takes over `--socket`, `--json` and `--totp` that were written before the verb; those behind it count more.
    ///
    /// # Errors
    /// The verb has no use for one of them.
    pub(super) fn take_general(&mut self, general: &ClientArgs) -> Result<(), String> {
        let mut nearer = self.group().cloned().unwrap_or_default();
        nearer.take(general);
        let general = nearer;
        let mut rest = general.clone();
        match self.takes() {
            Takes::All(client) => {
                client.take(&general);
                return Ok(());
            }
            Takes::Json(json) => *json |= std::mem::take(&mut rest.json),
            Takes::Nothing => {}
        }
        match rest.given() {
            Some(option) => {
                Err(format!("{option} does not go with this verb\n  see palisade VERB --help"))
            }
            None => Ok(()),
        }
    }

    /// What was written between a verb and the verb below it.
    const fn group(&self) -> Option<&ClientArgs> {
        match self {
            Self::Cert(Group { client, .. })
            | Self::Crypto(Group { client, .. })
            | Self::Audit(Group { client, .. })
            | Self::Token(Group { client, .. })
            | Self::Totp(Group { client, .. })
            | Self::Capability(Group { client, .. }) => Some(client),
            _ => None,
        }
    }

    /// No verb is left out silently: there is no arm for all others.
    fn takes(&mut self) -> Takes<'_> {
        Takes::All(match self {
            Self::Run(_) | Self::Demo(_) | Self::Completions { .. } | Self::Man { .. } => {
                return Takes::Nothing;
            }
            Self::Init(args) => return Takes::Json(&mut args.json),
            Self::Check(args) => return Takes::Json(&mut args.json),
            Self::Reload(client) | Self::Status(client) => client,
            Self::Top(args) => &mut args.client,
            Self::Logs(args) => &mut args.client,
            Self::Explain(args) => &mut args.client,
            Self::Cert(group) => match &mut group.verb {
                CertVerb::List(client) => client,
                CertVerb::Renew(args) => &mut args.client,
                CertVerb::Import(args) => &mut args.client,
                CertVerb::Trust(args) => match (&args.state, args.print) {
                    // PEM is no JSON.
                    (Some(_), true) => return Takes::Nothing,
                    (Some(_), false) => return Takes::Json(&mut args.client.json),
                    (None, _) => &mut args.client,
                },
            },
            Self::Crypto(group) => match &mut group.verb {
                CryptoVerb::Rotate(client) => client,
            },
            Self::Audit(group) => match &mut group.verb {
                AuditVerb::Tail(args) => &mut args.client,
                AuditVerb::Search(args) => &mut args.client,
                AuditVerb::Verify(args) => &mut args.client,
                AuditVerb::Export(args) => &mut args.client,
            },
            Self::Token(group) => match &mut group.verb {
                TokenVerb::Create(args) => &mut args.client,
                TokenVerb::List(client) => client,
                TokenVerb::Revoke(args) => &mut args.client,
            },
            Self::Totp(group) => match &mut group.verb {
                TotpVerb::Enroll(args) => &mut args.client,
                TotpVerb::Activate(args) => &mut args.client,
                TotpVerb::List(client) => client,
                TotpVerb::Remove(args) => match &args.state {
                    Some(_) => return Takes::Json(&mut args.client.json),
                    None => &mut args.client,
                },
            },
            Self::Capability(group) => match &mut group.verb {
                CapabilityVerb::List(client) => client,
                CapabilityVerb::Set(args) => &mut args.client,
            },
        })
    }
}

/// Options that stand for a file conflict with one: half of each would surprise.
#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    /// Configuration file [default: /etc/palisade/palisade.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Serve this one site, without a file
    #[arg(long, value_name = "NAME", conflicts_with = "config", requires = "upstream")]
    pub site: Option<String>,
    /// Where the app listens: HOST:PORT, unix:PATH, https://HOST, h2://HOST or h2c://HOST:PORT; repeat for several
    #[arg(long, value_name = "ADDR", conflicts_with = "config", requires = "site")]
    pub upstream: Vec<String>,
    /// HTTPS address [default: [::]:443]
    #[arg(long, value_name = "ADDR", conflicts_with = "config", requires = "site")]
    pub https: Vec<String>,
    /// Plain HTTP address, redirects to HTTPS [default: [::]:80]
    #[arg(long, value_name = "ADDR", conflicts_with = "config", requires = "site")]
    pub http: Vec<String>,
    /// Address of health checks and metrics [default: 127.0.0.1:9180]
    #[arg(long, value_name = "ADDR", conflicts_with = "config", requires = "site")]
    pub ops: Option<String>,
    /// Control socket for admins
    #[arg(long, value_name = "PATH", conflicts_with = "config", requires = "site")]
    pub control: Option<PathBuf>,
    /// Socket for the app [default: beside the control socket]
    #[arg(long, value_name = "PATH", conflicts_with = "config", requires = "site")]
    pub app: Option<PathBuf>,
    /// State directory
    #[arg(long, value_name = "DIR", conflicts_with = "config", requires = "site")]
    pub state: Option<PathBuf>,
    /// Where the certificate comes from: local, acme or imported [default: local for local names, else acme]
    #[arg(long, value_name = "SOURCE", conflicts_with = "config", requires = "site")]
    pub tls: Option<String>,
    /// ACME authority: a known name or the URL of its directory [default: letsencrypt]
    #[arg(long, value_name = "URL", conflicts_with = "config", requires = "site")]
    pub acme_directory: Option<String>,
    /// Roots that a private ACME authority is trusted with, as PEM
    #[arg(long, value_name = "FILE", conflicts_with = "config", requires = "site")]
    pub acme_ca: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", conflicts_with = "config", requires = "site")]
    pub workers: Option<usize>,
    /// Log to this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "config", requires = "site")]
    pub log_file: Option<PathBuf>,
}

impl RunArgs {
    /// The options as the configuration reads them; `None` when a file is meant.
    pub(super) fn flags(self) -> Option<Flags> {
        self.site.as_ref()?;
        Some(Flags {
            site: self.site,
            upstream: self.upstream,
            https: self.https,
            http: self.http,
            ops: self.ops,
            control: self.control,
            app: self.app,
            state: self.state,
            tls: self.tls,
            acme_directory: self.acme_directory,
            acme_ca: self.acme_ca,
            workers: self.workers,
            log_file: self.log_file,
        })
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct DemoArgs {
    /// Port of the site
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub https: u16,
    /// Port that redirects to it
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http: u16,
    /// Keep the local CA here, so that it has to be trusted only once
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Print one frame and end; --json prints its data
    #[arg(long)]
    pub once: bool,
    /// How often to ask the daemon, at least every 250ms
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = rate)]
    pub rate: HumanDuration,
    /// Draw with ASCII only [default: where the locale is not UTF-8, or the terminal is linux or dumb]
    #[arg(long)]
    pub ascii: bool,
}

fn rate(text: &str) -> Result<HumanDuration, String> {
    let rate: HumanDuration = text.parse().map_err(|error: UnitError| error.to_string())?;
    let seconds = rate.0.as_secs_f64();
    if (0.25..=3_600.0).contains(&seconds) { Ok(rate) } else { Err("from 250ms to 1h".into()) }
}

#[derive(Debug, Clone, Args)]
pub(super) struct InitArgs {
    /// The file to write
    #[arg(value_name = "PATH", default_value = DEFAULT_CONFIG)]
    pub path: PathBuf,
    /// Answer in JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Answer in JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Only these kinds; repeat or separate by commas [default: all]
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = ["request", "log", "state"])]
    pub kind: Vec<String>,
    /// Requests of this site
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// Requests of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Requests of this client
    #[arg(long, value_name = "ADDR")]
    pub ip: Option<std::net::IpAddr>,
    /// Requests with this status: 404, or 4xx
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Requests whose path begins like this
    #[arg(long, value_name = "PREFIX")]
    pub path: Option<String>,
    /// Requests refused for this reason, named as in the metrics
    #[arg(long, value_name = "REASON")]
    pub denied: Option<String>,
    /// Requests that took longer, such as 200ms
    #[arg(long, value_name = "TIME")]
    pub slower: Option<HumanDuration>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// What would be asked for, with https:// or http://
    #[arg(value_name = "URL", required_unless_present = "request")]
    pub url: Option<String>,
    /// How
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// Address that it would come from [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    pub ip: Option<std::net::IpAddr>,
    /// A header field of it; repeat for several
    #[arg(long, value_name = "NAME:VALUE")]
    pub header: Vec<String>,
    /// What the app said to a request whose client got a page (hide_errors), by the id on that page
    #[arg(long, value_name = "ID", conflicts_with_all = ["url", "method", "ip", "header"])]
    pub request: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CertVerb {
    /// Every site's certificate: state, names, expiry, next renewal, and why the last attempt failed
    #[command(after_help = "Example:\n  palisade cert list --json | jq '.[].not_after'")]
    List(ClientArgs),
    /// Get a new certificate from the CA now, and wait for the outcome
    #[command(after_help = "Example:\n  palisade cert renew app.example.com")]
    Renew(RenewArgs),
    /// Take a certificate made elsewhere: chain and private key as PEM files
    ///
    /// For a site with tls = "imported". A site with tls = "acme" takes one too: it is served until its renewal is
    /// due, and then replaced by one from the ACME authority.
    #[command(
        after_help = "Example:\n  palisade cert import app.example.com --cert fullchain.pem --key privkey.pem"
    )]
    Import(ImportArgs),
    /// Make this machine trust the local CA: system store (as root) and the browsers' databases
    #[command(
        after_help = "Examples:\n  palisade cert trust\n  sudo palisade cert trust --yes\n  palisade cert trust --print > palisade-ca.pem"
    )]
    Trust(TrustArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum CryptoVerb {
    /// Make a new data key and seal every secret under it; safe to interrupt and to repeat
    #[command(after_help = "Example:\n  palisade crypto rotate --json")]
    Rotate(ClientArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct RenewArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Name of the site
    #[arg(value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Name of the site
    #[arg(value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
    /// The certificate and its chain, the site's own first
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its private key, in a file that others cannot read
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TrustArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Read the CA from this state directory instead of asking a daemon
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub state: Option<PathBuf>,
    /// Only print the CA certificate as PEM
    #[arg(long, conflicts_with_all = ["json", "nssdb", "yes"])]
    pub print: bool,
    /// Only this NSS database (a directory, as ~/.pki/nssdb); made if it is not there
    #[arg(long, value_name = "DIR")]
    pub nssdb: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
