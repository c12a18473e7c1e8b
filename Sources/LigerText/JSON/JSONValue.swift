/// A JSON value as a tree. Objects keep the order of their members. Whole numbers stay exact; `integer` and `number`
/// are told apart by how they were written (`1` against `1.0`).
package enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONMembers)

    /// An object with members in the order of their keys.
    package static func object(_ members: [String: JSONValue]) -> JSONValue { .object(JSONMembers(members)) }

    /// The value in a few words, for messages.
    package var summary: String {
        switch self {
        case .array(let elements): "a list of \(elements.count)"
        case .object(let members) where members.isEmpty: "an object without keys"
        case .object(let members):
            "an object with \(members.keys.sorted().prefix(8).map(\.quoted).joined(separator: ", "))"
        case .string(let text): text.quoted
        default: serialized()
        }
    }
}

extension JSONValue {
    /// The text of this value: keys sorted, two spaces of indentation, so that equal values give equal
    /// bytes. Numbers must be finite.
    package func serialized(indentation: String = "") -> String {
        let inner = indentation + "  "
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .number(let value):
            precondition(value.isFinite, "JSON has no infinities")
            return String(value)
        case .string(let text): return Self.literal(text)
        case .array(let elements):
            guard !elements.isEmpty else { return "[]" }
            let lines = elements.map { inner + $0.serialized(indentation: inner) }
            return "[\n\(lines.joined(separator: ",\n"))\n\(indentation)]"
        case .object(let members):
            guard !members.isEmpty else { return "{}" }
            let lines = members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { "\(inner)\(Self.literal($0.key)): \($0.value.serialized(indentation: inner))" }
            return "{\n\(lines.joined(separator: ",\n"))\n\(indentation)}"
        }
    }

    /// `text` as a JSON string with its quotation marks.
    package static func literal(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{C}": result += "\\f"
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
