import LigerModels
import LigerText
import Testing

@Suite("JSON")
struct JSONTests {
    static func parse(_ text: String) throws -> JSONValue {
        try JSONValue(parsing: Array(text.utf8), file: "a.json")
    }

    @Test("Values, escapes and white space")
    func values() throws {
        #expect(
            try Self.parse(" {\"a\" : [ 1 , -0, 2.5e-1, true,false , null ] ,\r\n\t\"\": {}, \"b\":[]} ")
                == .object([
                    "a": .array([.integer(1), .integer(0), .number(0.25), .bool(true), .bool(false), .null]),
                    "": .object([:]), "b": .array([]),
                ]))
        #expect(
            try Self.parse(#""\"\\\/\b\f\n\r\t\u00e9\uD83E\uDD99x""#)
                == .string("\"\\/\u{8}\u{C}\n\r\t\u{E9}\u{1F999}x"))
        #expect(try Self.parse("9223372036854775807") == .integer(.max))
        #expect(try Self.parse("9223372036854775808") == .number(0x1p63))
        #expect(try Self.parse("1.0") == .number(1))
    }

    @Test(
        "What is not JSON is refused with its place",
        arguments: [
            "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
            "tru", "truex",
            "nulls", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "1e999", "-1e999", "NaN", "Infinity",
            "\"", "\"a",
            "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\uD800\"", "\"\\uD800\\u0041\"", "\"\\uDC00\"",
            "\"\\uD800\\uD800\"", "\"\u{1}\"", "\"a\\n\u{1}\"", "1 2", "{} {}", "{\"a\":1,\"a\":1}",
            "{\"\u{E9}\":1,\"e\u{301}\":1}",
        ])
    func malformed(_ text: String) {
        let error = #expect(throws: CheckpointError.self) { try Self.parse(text) }
        #expect(error?.description.hasPrefix("a.json: JSON, byte ") == true)
    }

    @Test("Bytes that are not UTF-8, and nesting without end")
    func hostile() throws {
        for bytes: [UInt8] in [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0x5C, 0x6E, 0xED, 0xA0, 0x80, 0x22],
        ] {
            #expect(throws: CheckpointError.self) { try JSONValue(parsing: bytes, file: "a") }
        }
        #expect(throws: Never.self) {
            try Self.parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
        }
        #expect(throws: CheckpointError.self) {
            try Self.parse(String(repeating: "[", count: 65) + String(repeating: "]", count: 65))
        }
        #expect(throws: CheckpointError.self) {
            try Self.parse(String(repeating: "[{\"a\":", count: 1_000_000))
        }
    }

    @Test("What is written is read back")
    func roundTrip() throws {
        let value = JSONValue.object([
            "numbers": .array([.number(1e-6), .number(1e300), .number(10000), .integer(.min), .number(0.1)]),
            "text\"\\\n\u{1}\u{7F}\u{1F999}": .string("\r\t\u{8}\u{C}\u{0}"), "empty": .array([]),
            "none": .null,
            "nested": .object(["a": .object([:]), "b": .bool(true)]),
        ])
        #expect(try Self.parse(value.serialized()) == value)
    }
}
