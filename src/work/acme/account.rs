//! The account at a CA: one per directory, whatever happens in between.
//!
//! Promises: the key is sealed and stored before the CA hears of it, and the same key is the same account (RFC 8555
//! §7.3.1), so a crash at any point leaves no second account. One exception: with an external account binding the
//! library makes the key itself, so a crash between the CA's answer and our commit loses that account; the next
//! attempt makes another with the same binding. Ordering agrees to the CA's terms of service; the documents say so.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, ExternalAccountKey, Key, NewAccount};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::http::Http;
use super::order::{Job, Tools, patient, seal, unseal};
use super::problem::{Class, Trouble, What};
use crate::store::certs;
use crate::store::sealed::ACCOUNT_KEYS;
use crate::telemetry::Level;

/// The account of the job's directory, made if there is none.
pub(super) async fn obtain(tools: &Tools, job: &Job, http: &Http) -> Result<Account, Trouble> {
    let url = &job.directory.url;
    // Two sites that order for the first time must not make two accounts.
    let _one_at_a_time = tools.accounts.lock().await;
    let stored = tools.parts.store.account(url)?;
    let key = match stored {
        Some(_) => unseal(tools, ACCOUNT_KEYS, url)?,
        None => None,
    };
    // The binding is the real CA's.
    let eab = job.acme.eab.as_ref().filter(|_| !job.rehearsal);
    let (account, record) = match (stored, key, eab) {
        (Some(record), Some(key), _) if record.url.is_some() => {
            known(tools, http, record, &key).await?
        }
        // Also in place of a key that the CA did not want without a binding.
        (_, _, Some(eab)) => bound(tools, job, http, &eab.kid).await?,
        (Some(record), Some(key), None) => known(tools, http, record, &key).await?,
        (_, _, None) => {
            let (record, key) = prepare(tools, job).await?;
            known(tools, http, record, &key).await?
        }
    };
    contact(tools, job, http, &account, record).await?;
    Ok(account)
}

/// Forgets an account that the CA does not know any more.
pub(super) async fn forget(tools: &Tools, job: &Job) -> Result<(), Trouble> {
    tools.parts.log.event(Level::Warn, "acme_account_forgotten", |line| {
        line.text("directory", &job.directory.url)
            .text("next", "nothing: a new account is made with the next order");
    });
    Ok(tools.parts.store.remove_account(&job.directory.url).await?)
}

/// A new key, stored before anybody is told.
async fn prepare(
    tools: &Tools,
    job: &Job,
) -> Result<(certs::Account, Zeroizing<Vec<u8>>), Trouble> {
    let (_, pkcs8) =
        Key::generate_pkcs8().map_err(|error| Trouble::state(format!("no new key: {error}")))?;
    let key = Zeroizing::new(pkcs8.secret_pkcs8_der().to_vec());
    let record = certs::Account {
        directory: job.directory.url.clone(),
        url: None,
        contact: None,
        created_at_s: tools.now_s(),
    };
    let sealed = seal(tools, ACCOUNT_KEYS, &record.directory, key.clone()).await?;
    tools.parts.store.put_account(record.clone(), Some(sealed)).await?;
    Ok((record, key))
}

/// The account of a stored key: by its URL, or by asking the CA to find or make it.
async fn known(
    tools: &Tools,
    http: &Http,
    record: certs::Account,
    key: &[u8],
) -> Result<(Account, certs::Account), Trouble> {
    let builder = || Account::builder_with_http(Box::new(http.clone()));
    let pkcs8 = || PrivatePkcs8KeyDer::from(key.to_vec());
    if let Some(id) = &record.url {
        let account =
            patient!(http, builder().from_parts(id.clone(), pkcs8(), record.directory.clone()))?;
        return Ok((account, record));
    }
    let (account, _) = patient!(http, async {
        let key = Key::from_pkcs8_der(pkcs8())?;
        let pair = (key, PrivateKeyDer::Pkcs8(pkcs8()));
        builder().create_from_key(pair, record.directory.clone()).await
    })?;
    let record = certs::Account { url: Some(account.id().to_owned()), ..record };
    tools.parts.store.put_account(record.clone(), None).await?;
    created(tools, http, &record);
    Ok((account, record))
}

/// A new account under an external binding (RFC 8555 §7.3.4).
async fn bound(
    tools: &Tools,
    job: &Job,
    http: &Http,
    kid: &str,
) -> Result<(Account, certs::Account), Trouble> {
    let hmac = job.eab_hmac.as_deref().and_then(binding_key).ok_or_else(|| {
        Trouble::new(What::Eab, Class::Config, "the key of acme.eab is not base64url")
    })?;
    // The proof of promise 6, before the one account that cannot be stored ahead.
    tools.parts.store.probe().await?;
    let eab = ExternalAccountKey::new(kid.to_owned(), &hmac);
    let (account, credentials) = patient!(
        http,
        Account::builder_with_http(Box::new(http.clone())).create(
            &NewAccount {
                contact: &[],
                terms_of_service_agreed: true,
                only_return_existing: false
            },
            job.directory.url.clone(),
            Some(&eab),
        )
    )?;
    let key = Zeroizing::new(credentials.private_key().secret_pkcs8_der().to_vec());
    let record = certs::Account {
        directory: job.directory.url.clone(),
        url: Some(account.id().to_owned()),
        contact: None,
        created_at_s: tools.now_s(),
    };
    let sealed = seal(tools, ACCOUNT_KEYS, &record.directory, key).await?;
    tools.parts.store.put_account(record.clone(), Some(sealed)).await?;
    created(tools, http, &record);
    Ok((account, record))
}

/// Tells the CA where to write to. A refusal is reported and stops nothing: the address is optional.
async fn contact(
    tools: &Tools,
    job: &Job,
    http: &Http,
    account: &Account,
    record: certs::Account,
) -> Result<(), Trouble> {
    if record.contact == job.acme.contact {
        return Ok(());
    }
    let uri = job.acme.contact.as_ref().map(|address| format!("mailto:{address}"));
    let uris: Vec<&str> = uri.as_deref().into_iter().collect();
    match patient!(http, account.update_contacts(&uris)) {
        Ok(()) => {
            let record = certs::Account { contact: job.acme.contact.clone(), ..record };
            tools.parts.store.put_account(record, None).await?;
            tools.warn(None);
            Ok(())
        }
        Err(refused) if refused.short_kind() == Some("accountDoesNotExist") => Err(refused),
        Err(refused) => {
            tools.warn(Some(format!(
                "the CA does not take acme.contact: {}; correct or remove it",
                refused.detail
            )));
            tools.parts.log.event(Level::Warn, "acme_contact_refused", |line| {
                line.text("directory", &job.directory.url)
                    .text("detail", &refused.detail)
                    .text("next", "correct or remove acme.contact; certificates are issued anyway");
            });
            Ok(())
        }
    }
}

fn created(tools: &Tools, http: &Http, record: &certs::Account) {
    let terms = http.seen().directory.and_then(|facts| facts.meta.terms_of_service);
    tools.parts.log.event(Level::Info, "acme_account_created", |line| {
        line.text("directory", &record.directory)
            .text("account", record.url.as_deref().unwrap_or_default())
            .text("terms_agreed", terms.as_deref().unwrap_or_default());
    });
}

/// The bytes of a key as CAs hand them out: base64url, but some give the other alphabet or padding.
pub fn binding_key(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_ascii();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [URL_SAFE, STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .filter(|key| !key.is_empty())
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_key_is_read_in_every_form_that_cas_hand_out() {
        let key = [0xfb, 0xef, 0xff, 0x01];
        for text in ["--__AQ", "--__AQ==", "++//AQ==", " --__AQ\n"] {
            assert_eq!(
                binding_key(text.as_bytes()).as_deref().map(Vec::as_slice),
                Some(&key[..]),
                "{text}"
            );
        }
        assert_eq!(binding_key(b"not base64!"), None);
        assert_eq!(binding_key(b"\n"), None);
    }
}
