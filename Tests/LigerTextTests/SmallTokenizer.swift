import Foundation
import LigerText

/// A tokenizer.json small enough to mutate by the ten thousand: the 256 bytes, a few merges, three added tokens.
enum SmallTokenizer {
    /// The file as Foundation's JSON objects, so that tests can change a field and write it again.
    static func contents() -> [String: Any] {
        var vocabulary: [String: Int] = [:]
        for (id, character) in byteCharacters.enumerated() { vocabulary[character] = id }
        let merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "l d"]
        for merge in merges {
            vocabulary[merge.replacingOccurrences(of: " ", with: "")] = vocabulary.count
        }
        return [
            "version": "1.0", "truncation": NSNull(), "padding": NSNull(),
            "added_tokens": [
                addedToken(263, "<|endoftext|>", special: true), addedToken(264, "<pad>", special: true),
                addedToken(265, "<tool>", special: false),
            ],
            "normalizer": ["type": "NFC"],
            "pre_tokenizer": byteLevel,
            "post_processor": template,
            "decoder": byteLevel,
            "model": [
                "type": "BPE", "dropout": NSNull(), "unk_token": NSNull(), "fuse_unk": false,
                "continuing_subword_prefix": "", "end_of_word_suffix": "", "byte_fallback": false,
                "ignore_merges": false, "vocab": vocabulary, "merges": merges,
            ] as [String: Any],
        ]
    }

    /// The file's text.
    static func json(_ contents: [String: Any] = contents()) throws -> Data {
        try JSONSerialization.data(withJSONObject: contents, options: [.sortedKeys])
    }

    static func load(_ contents: [String: Any] = contents()) throws -> FileTokenizer {
        try FileTokenizer(json: json(contents), file: "small.json")
    }

    static func addedToken(_ id: Int, _ content: String, special: Bool) -> [String: Any] {
        [
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": special,
        ]
    }

    static var byteLevel: [String: Any] {
        ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true]
    }

    private static var template: [String: Any] {
        [
            "type": "TemplateProcessing",
            "single": [
                ["SpecialToken": ["id": "<pad>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
                ["SpecialToken": ["id": "<|endoftext|>", "type_id": 0]],
            ],
            "pair": [Any](),
            "special_tokens": [
                "<pad>": ["id": "<pad>", "ids": [264], "tokens": ["<pad>"]],
                "<|endoftext|>": ["id": "<|endoftext|>", "ids": [263], "tokens": ["<|endoftext|>"]],
            ],
        ]
    }

    /// The byte alphabet in the order of the bytes.
    private static var byteCharacters: [String] {
        let printable = Set(Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF))
        var next = 0x100
        return (0..<256).map { byte in
            var value = byte
            if !printable.contains(byte) {
                value = next
                next += 1
            }
            return Unicode.Scalar(UInt32(value)).map { String(Character($0)) } ?? ""
        }
    }
}
