//! Certificates: a root, an intermediate, what it signs, and when it should be renewed.

use std::collections::HashMap;
use std::time::SystemTime;

use instant_acme::CertificateIdentifier;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateSigningRequestDer;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::script::Knobs;

/// A certificate that the CA has issued.
#[derive(Debug, Clone)]
pub struct Issued {
    pub names: Vec<String>,
    /// The name of RFC 9773: authority key identifier and serial number.
    pub id: String,
    /// The chain: the certificate and the intermediate.
    pub pem: String,
    pub der: Vec<u8>,
    /// The id of the certificate that it replaces.
    pub replaces: Option<String>,
    pub profile: Option<String>,
    /// Seconds since 1970 by the CA's clock, as are the next two.
    pub issued_at: i64,
    pub not_before: i64,
    pub not_after: i64,
}

/// When to renew, in seconds: of one certificate from when it is set, of all from when each is issued. Negative is past.
#[derive(Debug, Clone)]
pub struct Window {
    pub start_in_s: i64,
    pub end_in_s: i64,
    pub explanation: Option<String>,
}

pub struct Authority {
    intermediate: Issuer<'static, KeyPair>,
    intermediate_pem: String,
    root_pem: String,
    serials: u8,
    /// By certificate, with the moment from which they count.
    windows: HashMap<String, (i64, Window)>,
}

/// What an order says about the certificate.
pub struct Wanted<'a> {
    pub names: &'a [String],
    pub profile: Option<&'a str>,
    pub replaces: Option<&'a str>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The CA's time, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the CA is another party with a clock of its own")]
pub fn now(knobs: &Knobs) -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds") + knobs.clock_ahead_s
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).expect("a time")
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params("the root of a scripted CA");
        let root_pem = params.self_signed(&key).expect("a root").pem();
        let root = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let mut params = ca_params("an intermediate of a scripted CA");
        params.use_authority_key_identifier_extension = true;
        let intermediate_pem = params.signed_by(&key, &root).expect("an intermediate").pem();
        let intermediate = Issuer::new(params, key);
        Self { intermediate, intermediate_pem, root_pem, serials: 0, windows: HashMap::new() }
    }

    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The window of one certificate, counted from now.
    pub fn set_window(&mut self, id: &str, window: Window, knobs: &Knobs) {
        self.windows.insert(id.to_owned(), (now(knobs), window));
    }

    /// Signs a request that asks for exactly the names of the order; otherwise says what is wrong with it.
    pub fn sign(&mut self, csr: &[u8], of: &Wanted<'_>, knobs: &Knobs) -> Result<Issued, String> {
        let csr = CertificateSigningRequestDer::from(csr);
        let mut csr = CertificateSigningRequestParams::from_der(&csr)
            .map_err(|error| format!("the request cannot be read: {error}"))?;
        let names = |name: &SanType| match name {
            SanType::DnsName(name) => name.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        let mut asked: Vec<String> = csr.params.subject_alt_names.iter().map(names).collect();
        let mut ordered = of.names.to_vec();
        asked.sort();
        ordered.sort();
        if asked != ordered {
            return Err(format!("the request is for {asked:?} and the order for {ordered:?}"));
        }

        self.serials += 1;
        let profile = knobs.profiles.iter().find(|p| Some(p.name.as_str()) == of.profile);
        let lifetime_s = profile.map_or(knobs.lifetime_s, |profile| profile.lifetime_s);
        let not_before = now(knobs) - knobs.age_s;
        let not_after = not_before + lifetime_s;
        // The first bit is set: its DER has one byte more, which belongs to the name in RFC 9773.
        let serial = [&[0xca][..], &not_before.to_be_bytes(), &[self.serials]].concat();
        csr.params.serial_number = Some(SerialNumber::from_slice(&serial));
        csr.params.not_before = moment(not_before);
        csr.params.not_after = moment(not_after);
        csr.params.use_authority_key_identifier_extension = true;
        csr.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = csr.signed_by(&self.intermediate).map_err(|error| error.to_string())?;
        let id = CertificateIdentifier::try_from(signed.der()).expect("an id").to_string();
        Ok(Issued {
            names: of.names.to_vec(),
            id,
            pem: format!("{}{}", signed.pem(), self.intermediate_pem),
            der: signed.der().to_vec(),
            replaces: of.replaces.map(str::to_owned),
            profile: of.profile.map(str::to_owned),
            issued_at: now(knobs),
            not_before,
            not_after,
        })
    }

    /// Renewal information: the window set for the certificate or for all, else the last third of its lifetime.
    pub fn renewal_info(&self, certificate: &Issued, knobs: &Knobs) -> Value {
        let own = self.windows.get(&certificate.id).map(|(from, window)| (*from, window));
        let set = own.or(knobs.window.as_ref().map(|window| (certificate.issued_at, window)));
        let (start, end) = match set {
            Some((from, window)) => (from + window.start_in_s, from + window.end_in_s),
            None => {
                let lifetime_s = certificate.not_after - certificate.not_before;
                let start = certificate.not_after - lifetime_s / 3;
                (start, start + lifetime_s / 50)
            }
        };
        let text = |seconds| moment(seconds).format(&Rfc3339).expect("a date");
        let mut info = json!({ "suggestedWindow": { "start": text(start), "end": text(end) } });
        if let Some(explanation) = set.and_then(|(_, window)| window.explanation.as_deref()) {
            info["explanationURL"] = json!(explanation);
        }
        info
    }
}
