import Foundation
import LigerText

/// Small tokenizer files of the kinds that are not plain byte-level ones, to mutate by the ten thousand.
enum SmallKinds: String, CaseIterable, Sendable {
    case pieces, unigrams, words, expressions

    var contents: [String: Any] {
        var contents = SmallTokenizer.contents()
        contents["added_tokens"] = [Any]()
        contents["post_processor"] = NSNull()
        for (key, value) in parts { contents[key] = value }
        return contents
    }

    func json() throws -> Data { try SmallTokenizer.json(contents) }

    private var parts: [String: Any] {
        switch self {
        case .pieces: Self.piecesParts
        case .unigrams: Self.unigramsParts
        case .words: Self.wordsParts
        case .expressions: Self.expressionsParts
        }
    }

    private static let mark = "\u{2581}"
    private static let bytes = (0..<256).map { String(format: "<0x%02X>", $0) }
    private static var replace: [String: Any] {
        [
            "type": "Replace", "pattern": ["String": " "], "content": mark,
        ]
    }
    private static var decoder: [String: Any] {
        [
            "type": "Sequence",
            "decoders": [
                ["type": "Replace", "pattern": ["String": mark], "content": " "], ["type": "ByteFallback"],
                ["type": "Fuse"], ["type": "Strip", "content": " ", "start": 1, "stop": 0],
            ],
        ]
    }

    private static func vocabulary(_ tokens: [String]) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, $0) })
    }

    /// Byte pairs in the manner of SentencePiece.
    private static var piecesParts: [String: Any] {
        [
            "added_tokens": [
                SmallTokenizer.addedToken(0, "<unk>", special: true),
                SmallTokenizer.addedToken(1, "<s>", special: true),
            ],
            "normalizer": [
                "type": "Sequence", "normalizers": [["type": "Prepend", "prepend": mark], replace],
            ],
            "pre_tokenizer": NSNull(), "decoder": decoder,
            "post_processor": ["type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]],
            "model": [
                "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                "vocab": vocabulary(
                    ["<unk>", "<s>", "</s>"] + bytes
                        + [
                            mark, "h", "e", "l", "o", "w", "r", "d", "he", "ll", "hell", "hello", mark + "w",
                            mark + mark,
                        ]),
                "merges": ["h e", "l l", "he ll", "hell o", "\(mark) w", "\(mark) \(mark)"],
            ] as [String: Any],
        ]
    }

    private static var unigramsParts: [String: Any] {
        [
            "normalizer": [
                "type": "Sequence",
                "normalizers": [
                    ["type": "NFKC"], ["type": "Lowercase"], ["type": "StripAccents"],
                    ["type": "Strip", "strip_left": true, "strip_right": false],
                    // "a" becomes "b": a trie of five units, whose third-last is the leaf.
                    ["type": "Precompiled", "precompiled_charsmap": charactersMap],
                ],
            ],
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    ["type": "WhitespaceSplit"],
                    ["type": "Metaspace", "replacement": mark, "prepend_scheme": "always", "split": true],
                ],
            ],
            "decoder": ["type": "Metaspace", "replacement": mark, "prepend_scheme": "always", "split": true],
            "model": [
                "type": "Unigram", "unk_id": 0, "byte_fallback": true,
                "vocab": [
                    ["<unk>", 0.0], [mark, -2.5], ["h", -4], ["e", -4.1], ["l", -4.5e0], ["he", -3.0],
                    ["llo", -5.25],
                ]
                    + bytes.map { [$0, -9.5] },
            ] as [String: Any],
        ]
    }

    private static var wordsParts: [String: Any] {
        [
            "normalizer": [
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": NSNull(), "lowercase": true,
            ],
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    ["type": "BertPreTokenizer"], ["type": "Digits", "individual_digits": true],
                    ["type": "Punctuation", "behavior": "Contiguous"],
                ],
            ],
            "decoder": ["type": "WordPiece", "prefix": "##", "cleanup": true],
            "model": [
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary(["[UNK]", "h", "##e", "##l", "##llo", "he", "world", ",", "##s", "1"]),
            ] as [String: Any],
        ]
    }

    /// Byte pairs with several splits by expressions.
    private static var expressionsParts: [String: Any] {
        func split(_ pattern: String, _ behavior: String, _ invert: Bool) -> [String: Any] {
            ["type": "Split", "pattern": ["Regex": pattern], "behavior": behavior, "invert": invert]
        }
        return [
            "normalizer": ["type": "NFD"],
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    split(#"\p{N}{1,3}"#, "Isolated", false),
                    split(
                        #"[^\r\n\p{L}]?[\p{Lu}\p{M}]*[\p{Ll}]+(?i:'s|'t)?|\s+(?!\S)|\s++$|[^a-f]"#, "Removed",
                        true),
                    split("o+", "MergedWithNext", false),
                    [
                        "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                        "use_regex": false,
                    ],
                ],
            ],
        ]
    }

    private static var charactersMap: String {
        // The root's children lie at 1 ^ label; that of "a" has its leaf at its own place ^ 2.
        var units = [UInt32](repeating: 0, count: 128)
        let node = 1 ^ 0x61
        units[0] = 1 << 10
        units[node] = 0x61 | 1 << 8 | 2 << 10
        units[node ^ 2] = 1 << 31
        var bytes = withUnsafeBytes(of: UInt32(4 * units.count).littleEndian) { Array($0) }
        for unit in units { bytes += withUnsafeBytes(of: unit.littleEndian) { Array($0) } }
        return Data(bytes + Array("b\0".utf8)).base64EncodedString()
    }
}
