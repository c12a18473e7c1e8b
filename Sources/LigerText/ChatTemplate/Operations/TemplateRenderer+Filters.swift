extension TemplateRenderer {
    func filter(
        _ value: TemplateValue, by filter: TemplateFilter, _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        let call = try TemplateCall(filter.rawValue, arguments, filter.signature)
        switch filter {
        case .abs, .float, .int, .round, .sum: return try number(value, by: filter, call)
        case .capitalize, .format, .indent, .lower, .replace, .title, .trim, .upper, .string, .safe, .e,
            .escape, .tojson:
            return try text(value, by: filter, call, arguments)
        case .d, .default:
            let isMissing = if case .undefined = value { true } else { call.flag("boolean") && !value.isTrue }
            return isMissing ? call["default_value"] ?? .string("") : value
        case .attr:
            let name = call["name"]?.text ?? ""
            // Members of a mapping are no attributes.
            if case .mapping(let mapping) = value, mapping[name] != nil,
                TemplateMethod(rawValue: name)?.exists(on: value) != true
            {
                return .undefined(TemplateValue.Missing(name: name, owner: value.typeName))
            }
            return try attribute(name, of: value)
        case .count, .length:
            guard let count = value.count else {
                throw TemplateFailure.undefinedOperation("the length of a value of type \(value.typeName)")
            }
            try budget.step((value.text?.utf8.count ?? 0) >> 6)
            return .integer(count)
        default: return try elements(value, by: filter, call, arguments)
        }
    }

    // Filters that make texts.
    private func text(
        _ value: TemplateValue, by filter: TemplateFilter, _ call: TemplateCall,
        _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        if filter == .tojson { return .string(try json(value, call)) }
        let text = try TemplateText.string(value, budget)
        if case .markup = value {
            switch filter {
            case .string, .safe, .e, .escape: return value
            case .replace, .lower, .upper, .capitalize: break
            case .title, .trim: return .markup(try changed(text, by: filter, call))
            default:
                throw TemplateFailure.unsupported("\(filter.rawValue.quoted) of text from safe or escape")
            }
        }
        switch filter {
        case .safe: return .markup(text)
        case .e, .escape: return .markup(try value.escaped(budget))
        case .string: return .string(text)
        case .format:
            guard arguments.named.isEmpty || arguments.positional.isEmpty else {
                throw TemplateFailure.undefinedOperation("format with arguments with and without names")
            }
            let values: TemplateValue =
                arguments.named.isEmpty
                ? try .tuple(arguments.positional)
                : .mapping(try TemplateMapping(arguments.named.map { (.string($0.name), $0.value) }))
            return .string(try TemplateFormat.percent(text, values, budget))
        case .indent:
            guard case .string = value else {
                throw TemplateFailure.undefinedOperation("indent of a value of type \(value.typeName)")
            }
            return .string(try indented(text, call))
        default:
            let result = try changed(text, by: filter, call)
            // Methods of a marked text keep the mark.
            if case .markup = value, filter != .replace { return .markup(result) }
            return .string(result)
        }
    }

    private func changed(_ text: String, by filter: TemplateFilter, _ call: TemplateCall) throws -> String {
        switch filter {
        case .lower: return try recased(text, .lower)
        case .upper: return try recased(text, .upper)
        case .capitalize: return try recased(text, .capitalize)
        case .title: return try titled(text)
        case .trim: return try stripped(text, of: call.text("chars"))
        default:
            let old = try TemplateText.string(call["old"] ?? .none, budget)
            let new = try TemplateText.string(call["new"] ?? .none, budget)
            return try replaced(text, old, new, count: call.integer("count") ?? -1)
        }
    }

    /// The filter's own rule, apart from the method's: words begin after white space, `-`, `(`, `{`, `[` and `<`.
    private func titled(_ text: String) throws -> String {
        try budget.step(text.utf8.count)
        try budget.take(3, of: text.utf8.count)
        var result = ""
        var word = ""
        func finish() {
            guard let first = word.unicodeScalars.first else { return }
            result +=
                first.properties.uppercaseMapping + String(word.unicodeScalars.dropFirst()).pythonLowercase
            word = ""
        }
        for scalar in text.unicodeScalars {
            if scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) {
                finish()
                result.unicodeScalars.append(scalar)
            } else {
                word.unicodeScalars.append(scalar)
            }
        }
        finish()
        return result
    }

    private func indented(_ text: String, _ call: TemplateCall) throws -> String {
        let margin: String
        if let text = call["width"]?.text {
            margin = text
        } else {
            let width = max(0, try call.integer("width") ?? 4)
            try budget.take(bytes: width)
            margin = String(repeating: " ", count: width)
        }
        try budget.take(bytes: text.utf8.count)
        let lines = (text + "\n").pythonLines()
        try budget.take(lines.count + 1, of: margin.utf8.count)
        let keepsBlank = !call.flag("blank")
        let rest = lines.dropFirst().map { keepsBlank && $0.isEmpty ? $0 : margin + $0 }
        return (call.flag("first") ? margin : "") + ([lines.first ?? ""] + rest).joined(separator: "\n")
    }

    private func json(_ value: TemplateValue, _ call: TemplateCall) throws -> String {
        var options = TemplateJSON.Options()
        options.isASCII = call.flag("ensure_ascii")
        options.sortsKeys = call.flag("sort_keys")
        if let indent = call.optional("indent") {
            if let text = indent.text {
                options.indent = text
            } else {
                let width = max(0, try call.integer("indent") ?? 0)
                try budget.take(bytes: width)
                options.indent = String(repeating: " ", count: width)
            }
            options.itemSeparator = ","
        }
        if let separators = call.optional("separators") {
            let parts = try separators.elements(budget).compactMap(\.text)
            guard parts.count == 2 else { throw call.wrong("separators", separators, "two strings") }
            (options.itemSeparator, options.keySeparator) = (parts[0], parts[1])
        }
        return try TemplateJSON.text(value, options, budget)
    }
}

// Filters that make numbers.
extension TemplateRenderer {
    /// A double without its fraction.
    static func whole(_ value: Double) throws -> Int {
        guard value.isFinite else {
            throw TemplateFailure.undefinedOperation("a whole number of \(PythonNumber.text(value))")
        }
        guard let whole = Int(exactly: value.rounded(.towardZero)) else { throw TemplateValue.beyond64Bits }
        return whole
    }

    private func number(
        _ value: TemplateValue, by filter: TemplateFilter, _ call: TemplateCall
    ) throws -> TemplateValue {
        if case .undefined(let missing) = value, filter != .sum { throw missing.failure }
        switch filter {
        case .abs:
            if let index = value.index { return index < 0 ? try value.negated() : .integer(index) }
            guard case .float(let number) = value else { break }
            return .float(number.magnitude)
        case .float:
            let number = try value.number ?? value.text.flatMap { try counted($0, PythonNumber.float) }
            return number.map { .float($0) } ?? call["default"] ?? .float(0)
        case .int: return try whole(value, call)
        case .round: return try rounded(value, call)
        default:
            var sum = call["start"] ?? .integer(0)
            if sum.text != nil { throw TemplateFailure.undefinedOperation("a sum of strings") }
            for element in try value.elements(budget) {
                sum = try sum.combined(.add, keyed(element, by: call["attribute"]), budget)
            }
            return sum
        }
        throw TemplateFailure.undefinedOperation("\(filter.rawValue) of a value of type \(value.typeName)")
    }

    private func counted<Result>(_ text: String, _ read: (String) throws -> Result) throws -> Result {
        try budget.step(text.utf8.count)
        return try read(text)
    }

    private func whole(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        let fallback = call["default"] ?? .integer(0)
        if let index = value.index { return .integer(index) }
        if let text = value.text {
            let base = try call.integer("base") ?? 10
            guard base == 0 || (2...36).contains(base) else { return fallback }
            if let whole = try counted(text, { try PythonNumber.whole($0, base: base) }) {
                return .integer(whole)
            }
            guard let number = PythonNumber.float(text), number.isFinite else { return fallback }
            return .integer(try Self.whole(number))
        }
        guard case .float(let number) = value else { return fallback }
        if number.isNaN { return fallback }
        return .integer(try Self.whole(number))
    }

    private func rounded(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        let places = try call.integer("precision") ?? 0
        let method = try call.text("method") ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw TemplateFailure.undefinedOperation("round with the method \(method.quoted)")
        }
        guard let number = value.number else {
            throw TemplateFailure.undefinedOperation("round of a value of type \(value.typeName)")
        }
        if method == "common" {
            if let index = value.index {
                guard places < 0 else { return .integer(index) }
                throw TemplateFailure.unsupported("round of a whole number to tens")
            }
            return .float(PythonNumber.rounded(number, places: min(max(places, -400), 400)))
        }
        // As in Jinja: the power, product and quotient are Python's, so the quotient is a float.
        let scale = try TemplateValue.integer(10).combined(.power, .integer(places), budget)
        let scaled = try value.combined(.multiply, scale, budget)
        guard let exact = scaled.number else { return value }
        let whole = try Self.whole(exact.rounded(method == "ceil" ? .up : .down))
        return try TemplateValue.integer(whole).combined(.divide, scale, budget)
    }
}
