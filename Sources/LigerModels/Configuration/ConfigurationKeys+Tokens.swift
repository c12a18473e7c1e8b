import LigerText
import Tile

extension ConfigurationKeys {
    /// A token of the vocabulary, or none.
    ///
    /// - Parameter standard: where the file has no such key; `null` means none.
    package mutating func token(_ key: String, _ token: inout Int?, default standard: Int?) {
        var list = token.map { [$0] } ?? []
        tokens(key, &list, default: standard.map { [$0] } ?? [], atMost: 1)
        token = list.first
    }

    /// Some tokens of the vocabulary: one, a list, or none.
    package mutating func tokens(
        _ key: String, _ tokens: inout [Int], default standard: [Int], atMost limit: Int = 1024
    ) {
        let values = tokens.map { JSONValue.integer($0) }
        write(key, values.count > 1 ? .array(values) : values.first ?? .null)
        guard isReading else { return }
        guard has(key) else {
            tokens = standard
            return
        }
        tokens = []
        guard let found = Self.tokens(value(key), isPadding: key == "pad_token_id", atMost: limit)
        else {
            return report(
                key, value(key)?.summary ?? "null",
                limit > 1 ? "a token or a list of tokens" : "a token, as a whole number")
        }
        tokens = found
    }

    /// Checks that tokens are within the vocabulary, whose size was read before.
    package mutating func check(_ key: String, _ tokens: [Int], vocabulary: Int) {
        for token in tokens {
            check(
                (0..<max(vocabulary, 0)).contains(token), key, "vocab_size",
                found: "\(token) with \(vocabulary) tokens", expected: "a token of the vocabulary",
                advice: "Correct the identifier, or write null if the model has none.")
        }
    }

    /// Checks that tokens can be tokens of some vocabulary.
    package mutating func check(_ key: String, _ tokens: [Int]) {
        for token in tokens {
            check(
                (0...Self.largestExtent).contains(token), key, found: "\(token)",
                expected: "a token, from 0 on",
                advice: "Correct the identifier, or write null if the model has none.")
        }
    }

    /// Nil for what is no token.
    private static func tokens(_ value: JSONValue?, isPadding: Bool, atMost limit: Int) -> [Int]? {
        switch value {
        case nil: return []
        // Early conversions of Llama wrote -1 for "no such token".
        case .integer(-1)? where isPadding: return []
        case .integer(let token)?: return [token]
        case .array(let elements)? where limit > 1 && elements.count <= limit:
            let tokens = elements.compactMap { element -> Int? in
                if case .integer(let token) = element { token } else { nil }
            }
            return tokens.count == elements.count ? tokens : nil
        default: return nil
        }
    }

    private static let typeNames: [DType: String] = [
        .f32: "float32", .bf16: "bfloat16", .f16: "float16",
    ]

    /// How weights are stored: under `dtype` (transformers 5) and `torch_dtype` (transformers 4), which must agree.
    mutating func storage(_ dtype: inout DType?) {
        if let dtype {
            let name = Self.typeNames[dtype]
            write("dtype", .string(name ?? dtype.rawValue))
            if let name { write("torch_dtype", .string(name)) }
        }
        guard isReading else { return }
        dtype = nil
        for key in ["dtype", "torch_dtype"] {
            guard let text = string(key) else { continue }
            let name = text.hasPrefix("torch.") ? String(text.dropFirst(6)) : text
            guard let found = Self.typeNames.first(where: { $0.value == name })?.key else {
                report(key, text.quoted, "float32, bfloat16 or float16")
                continue
            }
            if let dtype, dtype != found { report(key, text, "the same type as under the key dtype") }
            dtype = dtype ?? found
        }
    }
}
