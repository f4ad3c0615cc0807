//! Fetches files that requests name by their URL: behind the guard that callbacks go behind, following no redirect, within
//! limits of time and size. Never keeps a file, and never tries twice.

use crate::callbacks::{Guard, reason};
use crate::fault::Fault;
use crate::http::{Room, Whose};
use callwright_engine::{Sound, SoundFlaw, read_sound};
use reqwest::{Client, Response};
use std::sync::{Arc, OnceLock};
use tracing::warn;

/// Largest file, in megabytes.
const MOST_MB: usize = 10;
/// Files that arrive at once: each is held in memory.
const AT_ONCE: usize = 16;

/// Fetches files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    guard: Guard,
    /// Made when it is needed first; none: it cannot be made.
    client: Arc<OnceLock<Option<Client>>>,
    room: Room,
}

impl Fetcher {
    /// One behind this guard.
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard, client: Arc::default(), room: Room::new(AT_ONCE, "files") }
    }

    /// The file behind the URL in this field, for this key and source.
    ///
    /// # Errors
    /// [`Fault::Invalid`] names the field and what is wrong with the URL or what is behind it; [`Fault::NoPlace`].
    async fn fetch(&self, (field, url): (&str, &str), whose: Whose) -> Result<Vec<u8>, Fault> {
        let invalid = |rule: String| Fault::Invalid { field: field.to_owned(), rule };
        let url = self.guard.judged(url).await.map_err(|why| invalid(why.of_a_url()))?;
        let client = self.client.get_or_init(|| self.made()).as_ref().ok_or(Fault::Internal)?;
        let _place = self.room.take(whose)?;
        let unfetched =
            |error: reqwest::Error| invalid(format!("must lead to a file that can be fetched: {}", reason(&error)));
        let answer = client.get(url).send().await.map_err(unfetched)?;
        whole(answer).await.map_err(|why| match why {
            Incomplete::Broken(error) => unfetched(error),
            Incomplete::Status(status) if (300..400).contains(&status) => {
                invalid(String::from("must lead to the file itself: redirects are not followed"))
            }
            Incomplete::Status(status) => invalid(format!("must lead to a file: it is answered with {status}")),
            Incomplete::Large => invalid(format!("must lead to a file of at most {MOST_MB} MB")),
        })
    }

    /// The sound behind the URL in this field.
    ///
    /// # Errors
    /// As of [`Self::fetch`], and when it is none that can be played.
    pub(crate) async fn sound(&self, (field, url): (&str, &str), whose: Whose) -> Result<Sound, Fault> {
        let file = self.fetch((field, url), whose).await?;
        // Converting a minute takes longer than others may wait.
        let read = tokio::task::spawn_blocking(move || read_sound(&file)).await.map_err(|_| Fault::Internal)?;
        let rule = |why: SoundFlaw| format!("must lead to a sound that can be played: {why}");
        read.map_err(|why| Fault::Invalid { field: field.to_owned(), rule: rule(why) })
    }

    fn made(&self) -> Option<Client> {
        // The server has made such a client for its callbacks when it started.
        let made = self.guard.client();
        if let Err(error) = &made {
            warn!(error = %reason(error), "files cannot be fetched");
        }
        made.ok()
    }
}

/// Why there is no whole file.
enum Incomplete {
    Status(u16),
    Large,
    Broken(reqwest::Error),
}

/// All that is answered.
async fn whole(mut answer: Response) -> Result<Vec<u8>, Incomplete> {
    const MOST: usize = MOST_MB << 20;
    if answer.status() != http::StatusCode::OK {
        return Err(Incomplete::Status(answer.status().as_u16()));
    }
    if answer.content_length().is_some_and(|length| length > MOST as u64) {
        return Err(Incomplete::Large);
    }
    let mut file = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Incomplete::Broken)? {
        if file.len() + piece.len() > MOST {
            return Err(Incomplete::Large);
        }
        file.extend_from_slice(&piece);
    }
    Ok(file)
}
