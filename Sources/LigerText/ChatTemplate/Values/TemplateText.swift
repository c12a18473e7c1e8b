/// Writes values as text: as `str`, as `repr`, as JSON.
struct TemplateText {
    private let budget: TemplateBudget
    private(set) var text = ""

    init(_ budget: TemplateBudget) { self.budget = budget }

    /// `str(value)`
    static func string(_ value: TemplateValue, _ budget: TemplateBudget) throws -> String {
        switch value {
        case .string(let text), .markup(let text): return text
        case .undefined: return ""
        default:
            var writer = TemplateText(budget)
            try writer.write(value)
            return writer.text
        }
    }

    /// `repr(value)`
    static func literal(_ value: TemplateValue, _ budget: TemplateBudget) throws -> String {
        var writer = TemplateText(budget)
        try writer.write(value)
        return writer.text
    }

    mutating func append(_ piece: String) throws {
        try budget.step()
        try budget.take(bytes: piece.utf8.count)
        guard text.utf8.count + piece.utf8.count <= budget.limits.textBytes else {
            throw TemplateBudget.excess("one text of more than \(budget.limits.textBytes) bytes")
        }
        text += piece
    }

    private mutating func write(_ value: TemplateValue) throws {
        switch value {
        case .undefined: try append("Undefined")
        case .none: try append("None")
        case .bool(let value): try append(value ? "True" : "False")
        case .integer(let value): try append(String(value))
        case .float(let value): try append(PythonNumber.text(value))
        case .string(let text): try append(text.pythonLiteral)
        case .markup(let text): try append("Markup(\(text.pythonLiteral))")
        case .list(let list): try write(list.items, "[", "]")
        case .tuple(let list): try write(list.items, "(", list.items.count == 1 ? ",)" : ")")
        case .mapping(let mapping): try write(mapping)
        case .view(let mapping, let part):
            try write(try mapping.elements(of: part), "dict_\(part.rawValue)([", "])")
        case .range(let range):
            try append("range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))")
        case .iterator, .namespace, .loop, .macro, .method, .function:
            throw TemplateFailure.unsupported("the text of a value of type \(value.typeName)")
        }
    }

    private mutating func write(_ items: [TemplateValue], _ open: String, _ close: String) throws {
        try append(open)
        for (index, item) in items.enumerated() {
            if index > 0 { try append(", ") }
            try write(item)
        }
        try append(close)
    }

    private mutating func write(_ mapping: TemplateMapping) throws {
        try append("{")
        for (index, key) in mapping.keys.enumerated() {
            if index > 0 { try append(", ") }
            try write(key)
            try append(": ")
            try write(mapping.values[index])
        }
        try append("}")
    }
}

/// `json.dumps` with the options that transformers gives to `tojson`.
struct TemplateJSON {
    struct Options {
        var isASCII = false
        /// What a level is indented by; nil for one line.
        var indent: String?
        var itemSeparator = ", "
        var keySeparator = ": "
        var sortsKeys = false
    }

    private let options: Options
    private let budget: TemplateBudget
    private var writer: TemplateText

    init(_ options: Options, _ budget: TemplateBudget) {
        (self.options, self.budget) = (options, budget)
        writer = TemplateText(budget)
    }

    static func text(_ value: TemplateValue, _ options: Options, _ budget: TemplateBudget) throws -> String {
        var json = TemplateJSON(options, budget)
        try json.write(value, level: 0)
        return json.writer.text
    }

    private mutating func write(_ value: TemplateValue, level: Int) throws {
        switch value {
        case .none: try writer.append("null")
        case .bool(let value): try writer.append(value ? "true" : "false")
        case .integer(let value): try writer.append(String(value))
        case .float(let value): try writer.append(number(value))
        case .string(let text), .markup(let text): try writer.append(literal(text))
        case .list(let list), .tuple(let list):
            try write(list.items.indices, "[", "]", level: level) { json, index in
                try json.write(list.items[index], level: level + 1)
            }
        case .mapping(let mapping):
            let members = try members(of: mapping)
            try write(members.indices, "{", "}", level: level) { json, index in
                try json.writer.append(json.literal(members[index].key) + json.options.keySeparator)
                try json.write(members[index].value, level: level + 1)
            }
        default: throw TemplateFailure.undefinedOperation("JSON of a value of type \(value.typeName)")
        }
    }

    private mutating func write(
        _ indices: Range<Int>, _ open: String, _ close: String, level: Int,
        _ element: (inout TemplateJSON, Int) throws -> Void
    ) throws {
        try writer.append(open)
        for index in indices {
            if index > 0 { try writer.append(options.itemSeparator) }
            try writeLine(level + 1)
            try element(&self, index)
        }
        if !indices.isEmpty { try writeLine(level) }
        try writer.append(close)
    }

    private mutating func writeLine(_ level: Int) throws {
        guard let indent = options.indent else { return }
        try budget.take(level, of: indent.utf8.count)
        try writer.append("\n" + String(repeating: indent, count: level))
    }

    private func members(of mapping: TemplateMapping) throws -> [(key: String, value: TemplateValue)] {
        var order = Array(mapping.keys.indices)
        if options.sortsKeys {
            // Not stable by itself, but keys are distinct.
            try order.sort { try mapping.keys[$0].order(mapping.keys[$1], "<", budget) == .before }
        }
        return try order.map { (try key(mapping.keys[$0]), mapping.values[$0]) }
    }

    private func key(_ value: TemplateValue) throws -> String {
        switch value {
        case .string(let text), .markup(let text): return text
        case .none: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .float(let value): return number(value)
        default: throw TemplateFailure.undefinedOperation("JSON with a key of type \(value.typeName)")
        }
    }

    private func number(_ value: Double) -> String {
        value.isNaN
            ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : PythonNumber.text(value)
    }

    private func literal(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{C}": result += "\\f"
            case " "..."~": result.unicodeScalars.append(scalar)
            default:
                if options.isASCII || scalar.value < 0x20 {
                    for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
                        let digits = String(unit, radix: 16)
                        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
