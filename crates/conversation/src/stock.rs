//! The few sentences that the machine says of its own accord when model or voice leave it alone, by language.
//! Used only where the agent's settings have nothing to say; never a substitute for a configured text.

/// Built-in sentences of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Said when the model keeps the callee waiting.
    pub(crate) wait: &'static str,
    /// Said when the model failed and is asked again.
    pub(crate) retry: &'static str,
    /// Said before hanging up because nothing works.
    pub(crate) sorry: &'static str,
}

const ENGLISH: Stock = Stock {
    wait: "One moment, please.",
    retry: "Sorry, just a moment.",
    sorry: "I am sorry, something is not working on our side. Please try again later. Goodbye.",
};

/// Language subtags (RFC 5646, section 2.2.1) and their sentences.
const LANGUAGES: [(&str, Stock); 13] = [
    ("en", ENGLISH),
    (
        "zh",
        Stock {
            wait: "请稍等。", retry: "抱歉，请稍等。", sorry: "很抱歉，我们这边出了点问题，请您稍后再试，再见。"
        },
    ),
    (
        "yue",
        Stock {
            wait: "请稍等。", retry: "唔好意思，请等等。", sorry: "好抱歉，我哋呢边出咗问题，请迟啲再试，再见。"
        },
    ),
    (
        "es",
        Stock {
            wait: "Un momento, por favor.",
            retry: "Perdone, un momento.",
            sorry: "Lo siento, tenemos un problema técnico. Inténtelo más tarde, por favor. Adiós.",
        },
    ),
    (
        "fr",
        Stock {
            wait: "Un instant, s'il vous plaît.",
            retry: "Pardon, un instant.",
            sorry: "Je suis désolé, nous avons un problème technique. Veuillez réessayer plus tard. Au revoir.",
        },
    ),
    (
        "de",
        Stock {
            wait: "Einen Moment, bitte.",
            retry: "Entschuldigung, einen Moment.",
            sorry: "Es tut mir leid, bei uns funktioniert gerade etwas nicht. Bitte versuchen Sie es später. Auf Wiederhören.",
        },
    ),
    (
        "it",
        Stock {
            wait: "Un momento, per favore.",
            retry: "Mi scusi, un momento.",
            sorry: "Mi dispiace, abbiamo un problema tecnico. Riprovi più tardi, per favore. Arrivederci.",
        },
    ),
    (
        "pt",
        Stock {
            wait: "Um momento, por favor.",
            retry: "Desculpe, um momento.",
            sorry: "Lamento, estamos com um problema técnico. Tente mais tarde, por favor. Até logo.",
        },
    ),
    (
        "ru",
        Stock {
            wait: "Одну минуту, пожалуйста.",
            retry: "Простите, одну минуту.",
            sorry: "Извините, у нас техническая неполадка. Пожалуйста, попробуйте позже. До свидания.",
        },
    ),
    (
        "ja",
        Stock {
            wait: "少々お待ちください。",
            retry: "申し訳ありません、少々お待ちください。",
            sorry: "申し訳ありません、システムに問題が発生しました。後ほどおかけ直しください。失礼いたします。",
        },
    ),
    (
        "ko",
        Stock {
            wait: "잠시만 기다려 주세요.",
            retry: "죄송합니다, 잠시만요.",
            sorry: "죄송합니다. 저희 쪽에 문제가 생겼습니다. 나중에 다시 시도해 주세요. 안녕히 계세요.",
        },
    ),
    (
        "id",
        Stock {
            wait: "Mohon tunggu sebentar.",
            retry: "Maaf, sebentar.",
            sorry: "Maaf, ada gangguan di pihak kami. Silakan coba lagi nanti. Sampai jumpa.",
        },
    ),
    (
        "ar",
        Stock {
            wait: "لحظة من فضلك.",
            retry: "عذرا، لحظة واحدة.",
            sorry: "نأسف، لدينا مشكلة تقنية. يرجى المحاولة لاحقا. مع السلامة.",
        },
    ),
];

/// The sentences for a BCP 47 tag; English when the language is not among them.
pub(crate) fn stock(language: &str) -> Stock {
    let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    LANGUAGES.iter().find(|(tag, _)| *tag == primary).map_or(ENGLISH, |(_, stock)| *stock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_subtag_chooses() {
        for (tag, wait) in [
            ("en-GB", "One moment, please."),
            ("ZH_hans", "请稍等。"),
            ("", "One moment, please."),
            ("tlh", "One moment, please."),
        ] {
            assert_eq!(stock(tag).wait, wait, "{tag}");
        }
    }
}
