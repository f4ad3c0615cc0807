//! A media path to a browser. The one file that touches the WebRTC library.

/// Longest offer looked at. A browser's own for one audio line and a data channel has about 2 kB.
pub const OFFER_BYTES: usize = 32 * 1024;
/// Longest text message, either way.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Why a browser's offer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Over [`OFFER_BYTES`], or more lines than any browser offers.
    #[error("the offer is larger than {OFFER_BYTES} bytes or has too many media")]
    TooLarge,
    /// Not a session description, or one that contradicts itself.
    #[error("the offer is no session description")]
    Malformed,
    /// No audio line, or one that is switched off.
    #[error("the offer has no audio")]
    NoAudio,
    /// None of Opus, PCMU and PCMA.
    #[error("the offer has none of opus, PCMU and PCMA")]
    NoCodec,
    /// Without what ICE and DTLS need: `ice-ufrag`, `ice-pwd`, `fingerprint`, BUNDLE with rtcp-mux.
    #[error("the offer lacks ICE credentials, a DTLS fingerprint or rtcp-mux")]
    NotSecured,
}
