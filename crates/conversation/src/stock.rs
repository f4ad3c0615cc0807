//! The few sentences that the machine says of its own accord when model or voice leave it alone, by language.
//! Used only where the agent's settings have nothing to say; never a substitute for a configured text.

/// Built-in sentences of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Said when the model keeps the callee waiting.
    pub(crate) wait: &'static str,
    /// Said when the model failed and is asked again.
    pub(crate) retry: &'static str,
    /// Said when the callee's number has been put on the do-not-call list.
    pub(crate) removed: &'static str,
    /// Said before hanging up because nothing works.
    pub(crate) sorry: &'static str,
}

const ENGLISH: Stock = Stock {
    wait: "One moment, please.",
    retry: "Sorry, just a moment.",
    removed: "All right. Your number is on our do-not-call list now, and you will not be called again.",
    sorry: "I am sorry, something is not working on our side. Please try again later. Goodbye.",
};

/// Language subtags (RFC 5646, section 2.2.1) and their sentences.
const LANGUAGES: [(&str, Stock); 13] = [
    ("en", ENGLISH),
    (
        "zh",
        Stock {
            wait: "请稍等。",
            retry: "抱歉，请稍等。",
            removed: "好的，您的号码已加入勿扰名单，我们不会再给您打电话。",
            sorry: "很抱歉，我们这边出了点问题，请您稍后再试，再见。",
        },
    ),
    (
        "yue",
        Stock {
            wait: "请稍等。",
            retry: "唔好意思，请等等。",
            removed: "好嘅，你嘅号码已经加入拒接名单，我哋唔会再打嚟。",
            sorry: "好抱歉，我哋呢边出咗问题，请迟啲再试，再见。",
        },
    ),
    (
        "es",
        Stock {
            wait: "Un momento, por favor.",
            retry: "Perdone, un momento.",
            removed: "De acuerdo. Su número está ahora en nuestra lista de no llamar y no volveremos a llamarle.",
            sorry: "Lo siento, tenemos un problema técnico. Inténtelo más tarde, por favor. Adiós.",
        },
    ),
    (
        "fr",
        Stock {
            wait: "Un instant, s'il vous plaît.",
            retry: "Pardon, un instant.",
            removed: "Entendu. Votre numéro figure désormais sur notre liste d'opposition, nous ne vous appellerons plus.",
            sorry: "Je suis désolé, nous avons un problème technique. Veuillez réessayer plus tard. Au revoir.",
        },
    ),
    (
        "de",
        Stock {
            wait: "Einen Moment, bitte.",
            retry: "Entschuldigung, einen Moment.",
            removed: "In Ordnung. Ihre Nummer steht jetzt auf unserer Sperrliste, Sie werden nicht mehr angerufen.",
            sorry: "Es tut mir leid, bei uns funktioniert gerade etwas nicht. Bitte versuchen Sie es später. Auf Wiederhören.",
        },
    ),
    (
        "it",
        Stock {
            wait: "Un momento, per favore.",
            retry: "Mi scusi, un momento.",
            removed: "Va bene. Il suo numero è ora nella lista di chi non vuole essere chiamato, non la chiameremo più.",
            sorry: "Mi dispiace, abbiamo un problema tecnico. Riprovi più tardi, per favore. Arrivederci.",
        },
    ),
    (
        "pt",
        Stock {
            wait: "Um momento, por favor.",
            retry: "Desculpe, um momento.",
            removed: "Está bem. O seu número está agora na lista de quem não quer ser contactado e não voltaremos a ligar.",
            sorry: "Lamento, estamos com um problema técnico. Tente mais tarde, por favor. Até logo.",
        },
    ),
    (
        "ru",
        Stock {
            wait: "Одну минуту, пожалуйста.",
            retry: "Простите, одну минуту.",
            removed: "Хорошо. Ваш номер теперь в списке отказа от звонков, больше мы звонить не будем.",
            sorry: "Извините, у нас техническая неполадка. Пожалуйста, попробуйте позже. До свидания.",
        },
    ),
    (
        "ja",
        Stock {
            wait: "少々お待ちください。",
            retry: "申し訳ありません、少々お待ちください。",
            removed: "承知しました。お客様の番号を発信停止リストに登録しました。今後お電話することはございません。",
            sorry: "申し訳ありません、システムに問題が発生しました。後ほどおかけ直しください。失礼いたします。",
        },
    ),
    (
        "ko",
        Stock {
            wait: "잠시만 기다려 주세요.",
            retry: "죄송합니다, 잠시만요.",
            removed: "알겠습니다. 고객님의 번호를 수신 거부 목록에 등록했으며 다시 전화드리지 않겠습니다.",
            sorry: "죄송합니다. 저희 쪽에 문제가 생겼습니다. 나중에 다시 시도해 주세요. 안녕히 계세요.",
        },
    ),
    (
        "id",
        Stock {
            wait: "Mohon tunggu sebentar.",
            retry: "Maaf, sebentar.",
            removed: "Baik. Nomor Anda sudah ada di daftar jangan dihubungi, dan kami tidak akan menelepon lagi.",
            sorry: "Maaf, ada gangguan di pihak kami. Silakan coba lagi nanti. Sampai jumpa.",
        },
    ),
    (
        "ar",
        Stock {
            wait: "لحظة من فضلك.",
            retry: "عذرا، لحظة واحدة.",
            removed: "حسنا، رقمك الآن في قائمة عدم الاتصال، ولن نتصل بك مرة أخرى.",
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
