import Tile

/// A value of JSON, for signatures: names and words in it need no escapes.
enum JSON {
    case text(String)
    case number(String)
    case bool(Bool)
    case null
    case list([JSON])
    /// Members in their order; those without a value are left out.
    case object([(String, JSON?)])

    static func whole(_ value: Int) -> JSON { .number("\(value)") }

    var text: String {
        switch self {
        case .text(let text): "\"\(text)\""
        case .number(let number): number
        case .bool(let value): "\(value)"
        case .null: "null"
        case .list(let elements): "[\(elements.map(\.text).joined(separator: ", "))]"
        case .object(let members):
            "{"
                + members.compactMap { name, value in value.map { "\"\(name)\": \($0.text)" } }
                .joined(separator: ", ") + "}"
        }
    }
}

extension Signature {
    /// As liger.h describes it.
    var json: JSON {
        .object([
            ("name", .text("\(name)")), ("inputs", .list(inputs.map(\.json))),
            ("options", .list(options.map(\.json))), ("outputs", .list(outputs.map(\.json))),
        ])
    }
}

extension InputDeclaration {
    fileprivate var json: JSON {
        .object([
            ("name", .text(name)), ("optional", isOptional ? .bool(true) : nil),
            ("written", isWritten ? .bool(true) : nil),
        ])
    }
}

extension OptionDeclaration {
    fileprivate var json: JSON {
        let (type, words): (String, JSON?) =
            switch kind {
            case .number: ("number", nil)
            case .whole: ("whole", nil)
            case .wholes: ("wholes", nil)
            case .flag: ("flag", nil)
            case .word(let words): ("word", .list(words.map { .text($0) }))
            }
        let (required, preset): (JSON?, JSON?) =
            switch requirement {
            case .required: (.bool(true), nil)
            case .preset(let value): (nil, value?.json ?? .null)
            }
        return .object([
            ("name", .text(name)), ("type", .text(type)), ("words", words), ("required", required),
            ("default", preset),
        ])
    }
}

extension OptionValue {
    fileprivate var json: JSON {
        switch self {
        case .number(let value): .number("\(value)")
        case .whole(let value): .whole(value)
        case .wholes(let values): .list(values.map { .whole($0) })
        case .flag(let value): .bool(value)
        case .word(let word): .text(word)
        }
    }
}

extension OutputDeclaration {
    fileprivate var json: JSON {
        let dtype: JSON =
            switch type {
            case .always(let type): .text(type.rawValue)
            case .like(let inputs): .list(inputs.map { .text($0) })
            }
        return .object([
            ("name", .text("\(name)")), ("shape", .list(sizes.map(\.json))), ("dtype", dtype),
            ("when", conditions.isEmpty ? nil : .list(conditions.map(\.json))),
        ])
    }
}

extension Sizes {
    fileprivate var json: JSON {
        let when = conditions.isEmpty ? nil : JSON.list(conditions.map(\.json))
        return switch source {
        case .constant(let size): .object([("size", .whole(size)), ("when", when)])
        case .option(let option): .object([("option", .text(option)), ("when", when)])
        case .input(let input, let from, let to, let isProduct):
            .object([
                ("input", .text(input)), ("from", .whole(from)), ("to", to.map { .whole($0) } ?? .null),
                ("product", isProduct ? .bool(true) : nil),
                ("divisor", divisor == 1 ? nil : .whole(divisor)), ("when", when),
            ])
        }
    }
}

extension Condition {
    fileprivate var json: JSON {
        switch self {
        case .given(let input): .object([("given", .text(input))])
        case .absent(let input): .object([("absent", .text(input))])
        case .holds(let input, let type): .object([("given", .text(input)), ("dtype", .text(type.rawValue))])
        case .on(let option): .object([("on", .text(option))])
        case .bits(let option, let bits): .object([("on", .text(option)), ("bits", .whole(bits))])
        case .word(let option, let word): .object([("on", .text(option)), ("word", .text(word))])
        case .any(let conditions): .object([("any", .list(conditions.map(\.json)))])
        }
    }
}
