import TestSupport

extension Mutation {
    /// Of tokenizer.json.
    static let ofTokenizers = Mutation(
        splices: [
            "null", "true", "-1", "1e999", "99999999999999999999", "2147483648", "0.5", "\"\"", "{}", "[]",
            "[[[[[[[[",
            "\"\\ud800\"", "\"type\":\"BPE\",", "\\u0000", ",", "}", "]", "\"NFC\"", "4194303", "\"Split\"",
            "\"h e\",",
            "\"a\":97,", "\u{FEFF}", "\"id\":263,", "[\"h\",\"e\"]",
            "{\"type\":\"Sequence\",\"normalizers\":[]}",
        ], changes: 3, longest: 12)
}
