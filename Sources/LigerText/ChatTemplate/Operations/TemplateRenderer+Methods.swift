extension TemplateMethod {
    /// Whether Python's type of this value has the method.
    func exists(on value: TemplateValue) -> Bool {
        switch value {
        case .string, .markup:
            switch self {
            case .changed, .copy, .cycle, .get, .items, .keys, .values: false
            default: !isMutating
            }
        case .list:
            switch self {
            case .copy, .count, .index: true
            case .popitem, .setdefault, .update: false
            default: isMutating
            }
        case .tuple, .range: self == .count || self == .index
        case .mapping:
            switch self {
            case .copy, .get, .items, .keys, .values, .clear, .pop, .popitem, .setdefault, .update: true
            default: false
            }
        case .loop: self == .cycle || self == .changed
        default: false
        }
    }
}

extension TemplateRenderer {
    func call(
        _ method: TemplateMethod, of value: TemplateValue, _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        let call = try TemplateCall(method.rawValue, arguments, method.signature)
        switch value {
        case .string(let text): return try self.call(method, ofText: text, call, arguments)
        case .markup(let text):
            // What gives back the text, or part of it, keeps the mark; what brings in other text would have to escape it.
            switch method {
            case .strip, .lstrip, .rstrip, .upper, .lower, .title, .capitalize, .swapcase:
                guard case .string(let result) = try self.call(method, ofText: text, call, arguments) else {
                    break
                }
                return .markup(result)
            case .startswith, .endswith, .find, .rfind, .count, .index:
                return try self.call(method, ofText: text, call, arguments)
            default: break
            }
            throw TemplateFailure.unsupported("\(method.rawValue.quoted) of text from safe or escape")
        case .mapping(let mapping): return try self.call(method, of: mapping, call)
        case .list, .tuple, .range: return try self.call(method, ofList: value, call)
        case .loop(let loop): return try self.call(method, of: loop, arguments.positional)
        default: throw TemplateFailure.undefinedOperation("a call of a value of type \(value.typeName)")
        }
    }

    private func call(_ method: TemplateMethod, of mapping: TemplateMapping, _ call: TemplateCall) throws
        -> TemplateValue
    {
        switch method {
        case .get: return try mapping.value(for: call["key"] ?? .none) ?? call["default"] ?? .none
        case .keys: return .view(mapping, .keys)
        case .values: return .view(mapping, .values)
        case .items: return .view(mapping, .items)
        default: return .mapping(mapping)
        }
    }

    private func call(_ method: TemplateMethod, ofList list: TemplateValue, _ call: TemplateCall) throws
        -> TemplateValue
    {
        let items = try list.elements(budget)
        if method == .copy { return try .list(items) }
        let value = call["value"] ?? .none
        if method == .count {
            guard call["start"] == nil else {
                throw TemplateFailure.undefinedOperation("count of a list with bounds")
            }
            return .integer(try items.filter { try $0.equals(value, budget) }.count)
        }
        let bounds = try TemplateSlice(call.integer("start"), call.integer("end"), nil).places(
            of: items.count)
        for place in bounds where try items[place].equals(value, budget) { return .integer(place) }
        throw TemplateFailure.undefinedOperation("index of a value that is not in the list")
    }

    private func call(_ method: TemplateMethod, of loop: TemplateLoop, _ values: [TemplateValue]) throws
        -> TemplateValue
    {
        if method == .cycle {
            guard !values.isEmpty else { throw TemplateFailure.undefinedOperation("cycle without values") }
            return values[loop.index % values.count]
        }
        let value = try TemplateValue.tuple(values)
        let isSame = try loop.last.map { try $0.equals(value, budget) } ?? false
        loop.last = value
        return .bool(!isSame)
    }
}

// Methods of strings.
extension TemplateRenderer {
    private func call(
        _ method: TemplateMethod, ofText text: String, _ call: TemplateCall, _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        try budget.step(text.utf8.count >> 4)
        switch method {
        case .strip, .lstrip, .rstrip:
            return .string(
                try stripped(text, of: call.text("chars"), start: method != .rstrip, end: method != .lstrip))
        case .upper, .lower, .title, .capitalize, .swapcase: return .string(try recased(text, method))
        case .split, .rsplit, .splitlines, .partition, .rpartition: return try split(text, method, call)
        case .startswith, .endswith, .find, .rfind, .index, .rindex, .count:
            return try search(text, method, call)
        case .replace:
            guard let old = try call.text("old"), let new = try call.text("new") else {
                throw TemplateFailure.undefinedOperation("replace without two strings")
            }
            return .string(try replaced(text, old, new, count: call.integer("count") ?? -1))
        case .join:
            let parts = try (call["iterable"] ?? .none).elements(budget).map { part in
                guard let text = part.text else {
                    throw TemplateFailure.undefinedOperation("join of a value of type \(part.typeName)")
                }
                return text
            }
            return .string(try joined(parts, by: text))
        case .removeprefix, .removesuffix:
            guard let affix = try call.text("affix") else { throw call.wrong("affix", .none, "a string") }
            let isThere =
                method == .removeprefix
                ? text.utf8.starts(with: affix.utf8)
                : text.utf8.reversed().starts(with: affix.utf8.reversed())
            guard isThere else { return .string(text) }
            let rest =
                method == .removeprefix
                ? text.utf8.dropFirst(affix.utf8.count) : text.utf8.dropLast(affix.utf8.count)
            return .string(String(Substring(rest)))
        case .center, .ljust, .rjust, .zfill: return .string(try padded(text, method, call))
        case .format: return .string(try TemplateFormat.braces(text, arguments, budget))
        default: return .bool(try matches(text, method))
        }
    }

    func stripped(_ text: String, of characters: String?, start: Bool = true, end: Bool = true) throws
        -> String
    {
        try budget.take(bytes: text.utf8.count)
        guard let characters else { return text.stripped(start: start, end: end) }
        let dropped = Set(characters.unicodeScalars)
        return text.stripped(start: start, end: end) { dropped.contains($0) }
    }

    func recased(_ text: String, _ method: TemplateMethod) throws -> String {
        try budget.step(text.utf8.count)
        try budget.take(3, of: text.utf8.count)
        switch method {
        case .upper: return text.pythonUppercase
        case .lower: return text.pythonLowercase
        case .title: return text.pythonTitle
        case .capitalize: return text.pythonCapitalized
        default:
            return text.unicodeScalars.reduce(into: "") {
                $0 +=
                    $1.properties.isUppercase
                    ? $1.properties.lowercaseMapping : $1.properties.uppercaseMapping
            }
        }
    }

    func joined(_ parts: [String], by separator: String) throws -> String {
        try budget.take(parts.count, of: separator.utf8.count)
        try budget.take(bytes: parts.reduce(0) { $0 &+ $1.utf8.count })
        return parts.joined(separator: separator)
    }

    func replaced(_ text: String, _ old: String, _ new: String, count: Int) throws -> String {
        let limit = count < 0 ? Int.max : count
        try budget.step(text.utf8.count)
        if old.isEmpty {
            // Between all scalars, and at both ends.
            let scalars = text.unicodeScalars
            try budget.take(min(limit, scalars.count + 1), of: new.utf8.count)
            var result = ""
            for (index, scalar) in scalars.enumerated() {
                if index < limit { result += new }
                result.unicodeScalars.append(scalar)
            }
            return scalars.count < limit ? result + new : result
        }
        let pieces = pieces(of: text, by: old, limit: limit)
        return try joined(pieces, by: new)
    }

    /// The text between the first `limit` places of `separator`, which is not empty.
    private func pieces(of text: String, by separator: String, limit: Int) -> [String] {
        var pieces: [String] = []
        var start = text.utf8.startIndex
        var offset = 0
        let size = separator.utf8.count
        for place in TextSearch(separator).places(in: text.utf8, limit: limit) {
            let end = text.utf8.index(start, offsetBy: place - offset)
            pieces.append(String(text[start..<end]))
            start = text.utf8.index(end, offsetBy: size)
            offset = place + size
        }
        pieces.append(String(text[start...]))
        return pieces
    }

    private func split(_ text: String, _ method: TemplateMethod, _ call: TemplateCall) throws -> TemplateValue
    {
        try budget.step(text.utf8.count)
        try budget.take(bytes: text.utf8.count)
        if method == .splitlines { return try list(text.pythonLines(keepingEnds: call.flag("keepends"))) }
        let fromEnd = method == .rsplit || method == .rpartition
        let isPartition = method == .partition || method == .rpartition
        let limit = isPartition ? 1 : try call.integer("maxsplit").flatMap { $0 < 0 ? nil : $0 } ?? .max
        guard let separator = try call.text("sep") else {
            return try list(fromEnd ? reversedWords(text, limit) : words(text, limit))
        }
        guard !separator.isEmpty else {
            throw TemplateFailure.undefinedOperation("a split by an empty string")
        }
        var parts: [String]
        if fromEnd, limit < .max {
            // Places are found from the end: on the text written backwards.
            let (back, separator) = (Self.backwards(text), Self.backwards(separator))
            parts = pieces(of: back, by: separator, limit: limit).map(Self.backwards).reversed()
        } else {
            parts = pieces(of: text, by: separator, limit: limit)
        }
        guard isPartition else { return try list(parts) }
        if parts.count == 1 {
            parts = fromEnd ? ["", "", parts[0]] : [parts[0], "", ""]
        } else {
            parts.insert(separator, at: 1)
        }
        return try .tuple(parts.map { .string($0) })
    }

    private static func backwards(_ text: String) -> String {
        String(scalars: text.unicodeScalars.reversed())
    }

    private func list(_ parts: [String]) throws -> TemplateValue {
        try budget.take(elements: parts.count)
        return try .list(parts.map { .string($0) })
    }

    /// Words between white space; what follows the last split keeps its white space.
    private func words(_ text: String, _ limit: Int) -> [String] {
        var words: [String] = []
        var rest = Substring(text).unicodeScalars.drop(while: \.isPythonSpace)
        while !rest.isEmpty {
            guard words.count < limit else {
                words.append(String(rest))
                break
            }
            words.append(String(rest.prefix { !$0.isPythonSpace }))
            rest = rest.drop { !$0.isPythonSpace }.drop(while: \.isPythonSpace)
        }
        return words
    }

    private func reversedWords(_ text: String, _ limit: Int) -> [String] {
        words(Self.backwards(text), limit).map(Self.backwards).reversed()
    }

    private func search(_ text: String, _ method: TemplateMethod, _ call: TemplateCall) throws
        -> TemplateValue
    {
        try budget.step(text.utf8.count)
        let bounds = (try call.integer("start"), try call.integer("end"))
        var part = text
        var start = 0
        if bounds.0 != nil || bounds.1 != nil {
            let scalars = Array(text.unicodeScalars)
            let places = try TemplateSlice(bounds.0, bounds.1, nil).places(of: scalars.count)
            // A start beyond the end finds nothing, not even the empty string.
            start = bounds.0.map { $0 < 0 ? max(0, $0 &+ scalars.count) : $0 } ?? 0
            if start > scalars.count { return try found(nil, method) }
            part = String(scalars: places.map { scalars[$0] })
        }
        if method == .startswith || method == .endswith { return .bool(try isAffix(call, of: part, method)) }
        guard let pattern = call["value"]?.text else {
            throw call.wrong("value", call["value"] ?? .none, "a string")
        }
        if pattern.isEmpty {
            let count = part.unicodeScalars.count
            return try method == .count
                ? .integer(count + 1)
                : found(method == .rfind || method == .rindex ? start + count : start, method)
        }
        if method == .count { return .integer(TextSearch(pattern).places(in: part.utf8).count) }
        let isLast = method == .rfind || method == .rindex
        let (where_, what) = isLast ? (Self.backwards(part), Self.backwards(pattern)) : (part, pattern)
        guard let place = TextSearch(what).places(in: where_.utf8, limit: 1).first else {
            return try found(nil, method)
        }
        let before = where_.unicodeScalars.distance(
            from: where_.startIndex, to: where_.utf8.index(where_.startIndex, offsetBy: place))
        let offset = isLast ? part.unicodeScalars.count - before - pattern.unicodeScalars.count : before
        return try found(start + offset, method)
    }

    private func found(_ place: Int?, _ method: TemplateMethod) throws -> TemplateValue {
        switch method {
        case .startswith, .endswith: return .bool(place != nil)
        case .count: return .integer(0)
        case .index, .rindex:
            guard let place else {
                throw TemplateFailure.undefinedOperation("index of a text that is not there")
            }
            return .integer(place)
        default: return .integer(place ?? -1)
        }
    }

    /// Whether the text begins or ends with a string, or with one of a tuple.
    private func isAffix(_ call: TemplateCall, of text: String, _ method: TemplateMethod) throws -> Bool {
        let value = call["value"] ?? .none
        var options = [value]
        if case .tuple(let list) = value { options = list.items }
        return try options.contains { option in
            guard let affix = option.text else { throw call.wrong("value", option, "a string") }
            return method == .startswith
                ? text.utf8.starts(with: affix.utf8)
                : text.utf8.reversed().starts(with: affix.utf8.reversed())
        }
    }

    private func padded(_ text: String, _ method: TemplateMethod, _ call: TemplateCall) throws -> String {
        let width = try call.integer("width") ?? 0
        let missing = max(0, max(0, width) - text.unicodeScalars.count)
        let fill = method == .zfill ? "0" : try call.text("fillchar") ?? " "
        guard fill.unicodeScalars.count == 1 else {
            throw TemplateFailure.undefinedOperation("a fill of several characters")
        }
        try budget.take(missing, of: fill.utf8.count)
        func filled(_ count: Int) -> String { String(repeating: fill, count: count) }
        switch method {
        case .ljust: return text + filled(missing)
        case .rjust: return filled(missing) + text
        case .center:
            let left = missing / 2 + (missing & width & 1)
            return filled(left) + text + filled(missing - left)
        default:
            let sign = text.unicodeScalars.prefix { $0 == "+" || $0 == "-" }.prefix(1)
            return String(sign) + filled(missing) + String(text.unicodeScalars.dropFirst(sign.count))
        }
    }

    /// `isdigit` and its like: of a text that is not empty.
    private func matches(_ text: String, _ method: TemplateMethod) throws -> Bool {
        let scalars = text.unicodeScalars
        switch method {
        case .islower:
            return scalars.contains(where: \.isCased)
                && !scalars.contains { $0.isCased && !$0.properties.isLowercase }
        case .isupper:
            return scalars.contains(where: \.isCased)
                && !scalars.contains { $0.isCased && !$0.properties.isUppercase }
        case .isspace: return !scalars.isEmpty && scalars.allSatisfy(\.isPythonSpace)
        case .isalpha: return !scalars.isEmpty && scalars.allSatisfy(\.isPythonLetter)
        case .isdigit:
            return !scalars.isEmpty
                && scalars.allSatisfy { $0.isPythonDecimal || $0.properties.numericType == .digit }
        case .isdecimal: return !scalars.isEmpty && scalars.allSatisfy(\.isPythonDecimal)
        case .isnumeric: return !scalars.isEmpty && scalars.allSatisfy { $0.properties.numericType != nil }
        case .isalnum:
            return !scalars.isEmpty
                && scalars.allSatisfy { $0.isPythonLetter || $0.properties.numericType != nil }
        case .istitle: return scalars.contains(where: \.isCased) && text.pythonTitle.hasSameBytes(as: text)
        default: throw TemplateFailure.unsupported("the method \(method.rawValue.quoted)")
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isPythonDecimal: Bool { properties.numericType == .decimal }

    fileprivate var isPythonLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }
}
