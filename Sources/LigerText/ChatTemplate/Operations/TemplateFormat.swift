// Values into texts with places for them: `"%s" % value`, `"{}".format(value)`.

/// How a value is written at its place.
struct TemplateFormat {
    /// The widest field and the most digits.
    private static let maximumWidth = 1000

    var fill: Unicode.Scalar = " "
    /// `<`, `>`, `^` or `=`, which fills between a sign and its number.
    var alignment: Unicode.Scalar?
    /// `+` or a blank in the place of a sign that a positive number lacks.
    var sign: Unicode.Scalar?
    var isAlternate = false
    var groups = false
    var width = 0
    var precision: Int?
    /// The letter of the conversion; nil where `format` was given none.
    var type: Unicode.Scalar?

    /// The digits of a number at the start of `scalars`, which are taken.
    static func number(_ scalars: inout Substring.UnicodeScalarView) throws -> Int? {
        let digits = scalars.prefix { $0.isDecimalDigit }
        guard !digits.isEmpty else { return nil }
        scalars = scalars.dropFirst(digits.count)
        guard let value = Int(String(digits)), value <= maximumWidth else {
            throw TemplateFailure.unsupported("a field of more than \(maximumWidth) characters")
        }
        return value
    }

    /// A whole number: d, x, X, o, b, c.
    func text(whole value: Int) throws -> String {
        var digits: String
        switch type {
        case "x": digits = (isAlternate ? "0x" : "") + String(value.magnitude, radix: 16)
        case "X": digits = (isAlternate ? "0X" : "") + String(value.magnitude, radix: 16, uppercase: true)
        case "o": digits = (isAlternate ? "0o" : "") + String(value.magnitude, radix: 8)
        case "b": digits = (isAlternate ? "0b" : "") + String(value.magnitude, radix: 2)
        default:
            digits = String(value.magnitude)
            if let precision {
                digits = String(repeating: "0", count: max(0, precision - digits.count)) + digits
            }
            if groups { digits = Self.grouped(digits) }
        }
        return padded(digits, isNegative: value < 0)
    }

    /// A number with a point: f, F, e, E, g, G, %.
    func text(real value: Double) throws -> String {
        if !value.isFinite {
            let upper = type.map { "FEG".unicodeScalars.contains($0) } ?? false
            let word = value.isNaN ? "nan" : "inf"
            return padded(upper ? word.uppercased() : word, isNegative: value < 0)
        }
        let digits: String
        switch type {
        case "e", "E":
            digits = PythonNumber.formatted(
                value.magnitude, "e", precision: precision ?? 6, alternate: isAlternate)
        case "g", "G":
            digits = PythonNumber.formatted(
                value.magnitude, "g", precision: precision ?? 6, alternate: isAlternate)
        case "%": digits = PythonNumber.formatted(value.magnitude * 100, "f", precision: precision ?? 6) + "%"
        default:
            digits = PythonNumber.formatted(
                value.magnitude, "f", precision: precision ?? 6, alternate: isAlternate)
        }
        let isUpper = type == "E" || type == "G"
        return padded(
            groups ? Self.grouped(digits) : isUpper ? digits.uppercased() : digits,
            isNegative: value.sign == .minus)
    }

    /// A text, cut to the precision.
    func text(_ text: String) -> String {
        let shown = precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
        return aligned("", shown, alignment ?? "<")
    }

    private func padded(_ digits: String, isNegative: Bool) -> String {
        let sign = isNegative ? "-" : sign.map(String.init) ?? ""
        return aligned(sign, digits, alignment ?? ">")
    }

    private func aligned(_ sign: String, _ text: String, _ alignment: Unicode.Scalar) -> String {
        let missing = max(0, width - sign.unicodeScalars.count - text.unicodeScalars.count)
        func filled(_ count: Int) -> String { String(repeating: String(fill), count: count) }
        switch alignment {
        case "<": return sign + text + filled(missing)
        case "^": return filled(missing / 2) + sign + text + filled(missing - missing / 2)
        case "=": return sign + filled(missing) + text
        default: return filled(missing) + sign + text
        }
    }

    private static func grouped(_ digits: String) -> String {
        let whole = Array(digits.prefix { $0.isNumber })
        var result = ""
        for (index, digit) in whole.enumerated() {
            if index > 0, (whole.count - index).isMultiple(of: 3) { result += "," }
            result.append(digit)
        }
        return result + digits.dropFirst(whole.count)
    }
}

// "%(name)-5.2f" % values
extension TemplateFormat {
    /// - Parameter value: a tuple of values, a mapping for places with names, or one value.
    static func percent(_ format: String, _ value: TemplateValue, _ budget: TemplateBudget) throws -> String {
        var source = PercentValues(value)
        var writer = TemplateText(budget)
        var rest = Substring(format).unicodeScalars
        while let place = rest.firstIndex(of: "%") {
            try writer.append(String(rest[..<place]))
            rest = rest[place...].dropFirst()
            try writer.append(try conversion(&rest, &source, budget))
        }
        try writer.append(String(rest))
        guard source.isUsedUp else {
            throw TemplateFailure.undefinedOperation("more values than places in \(format.quoted)")
        }
        return writer.text
    }

    private static func conversion(
        _ rest: inout Substring.UnicodeScalarView, _ source: inout PercentValues, _ budget: TemplateBudget
    ) throws -> String {
        var format = TemplateFormat()
        var name: String?
        if rest.first == "(" {
            guard let end = rest.firstIndex(of: ")") else { throw incomplete }
            name = String(rest[rest.startIndex..<end].dropFirst())
            rest = rest[end...].dropFirst()
        }
        var isZero = false
        while let flag = rest.first, "-+ #0".unicodeScalars.contains(flag) {
            switch flag {
            case "-": format.alignment = "<"
            case "#": format.isAlternate = true
            case "0": isZero = true
            case "+": format.sign = "+"
            default: format.sign = format.sign ?? " "
            }
            rest = rest.dropFirst()
        }
        format.width = try number(&rest) ?? 0
        if rest.first == "." {
            rest = rest.dropFirst()
            format.precision = try number(&rest) ?? 0
        }
        while let size = rest.first, "hlL".unicodeScalars.contains(size) { rest = rest.dropFirst() }
        guard let type = rest.popFirst() else { throw incomplete }
        if type == "%" { return "%" }
        format.type = type
        if isZero, format.alignment == nil { (format.fill, format.alignment) = ("0", "=") }
        return try format.text(percent: try source.next(name), budget)
    }

    private static let incomplete = TemplateFailure.undefinedOperation("a format that stops half way")

    private func text(percent value: TemplateValue, _ budget: TemplateBudget) throws -> String {
        var plain = self
        if fill == "0" { (plain.fill, plain.alignment) = (" ", ">") }
        if plain.alignment == nil { plain.alignment = ">" }
        switch type {
        case "s": return plain.text(try TemplateText.string(value, budget))
        case "r": return plain.text(try TemplateText.literal(value, budget))
        case "d", "i", "u", "x", "X", "o":
            if let index = value.index { return try text(whole: index) }
            guard case .float(let real) = value, "diu".unicodeScalars.contains(type ?? " ") else {
                throw mismatch(value)
            }
            return try text(whole: try TemplateRenderer.whole(real))
        case "f", "F", "e", "E", "g", "G":
            guard let real = value.number else { throw mismatch(value) }
            return try text(real: real)
        case "c":
            if let text = value.text, text.unicodeScalars.count == 1 { return plain.text(text) }
            guard let code = value.index, let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init)
            else {
                throw mismatch(value)
            }
            return plain.text(String(scalar))
        default:
            throw TemplateFailure.unsupported("the conversion \("%\(type.map(String.init) ?? "")".quoted)")
        }
    }

    private func mismatch(_ value: TemplateValue) -> TemplateFailure {
        if case .undefined(let missing) = value { return missing.failure }
        return TemplateFailure.undefinedOperation(
            "a value of type \(value.typeName) for %\(type.map(String.init) ?? "")")
    }

    /// The values for a format's places.
    private struct PercentValues {
        private let whole: TemplateValue
        private var rest: ArraySlice<TemplateValue>
        /// Python lets a mapping or a list stay unused.
        private var mayRemain: Bool

        init(_ value: TemplateValue) {
            whole = value
            if case .tuple(let list) = value { rest = list.items[...] } else { rest = [value] }
            switch value {
            case .mapping, .list, .range, .view: mayRemain = true
            default: mayRemain = false
            }
        }

        var isUsedUp: Bool { rest.isEmpty || mayRemain }

        mutating func next(_ name: String?) throws -> TemplateValue {
            if let name {
                guard case .mapping(let mapping) = whole else {
                    throw TemplateFailure.undefinedOperation("a format with names without a mapping")
                }
                guard let value = mapping[name] else {
                    throw TemplateFailure.undefinedOperation("no value \(name.quoted) for a format")
                }
                return value
            }
            guard let value = rest.popFirst() else {
                throw TemplateFailure.undefinedOperation("more places in a format than values")
            }
            return value
        }
    }
}

// "{name!r:>5}".format(...)
extension TemplateFormat {
    static func braces(_ format: String, _ arguments: TemplateArguments, _ budget: TemplateBudget) throws
        -> String
    {
        var writer = TemplateText(budget)
        var rest = Substring(format).unicodeScalars
        var next = 0
        while let place = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            try writer.append(String(rest[..<place]))
            let brace = rest[place]
            rest = rest[place...].dropFirst()
            if rest.first == brace {
                try writer.append(String(brace))
                rest = rest.dropFirst()
                continue
            }
            guard brace == "{", let end = rest.firstIndex(of: "}") else {
                throw TemplateFailure.undefinedOperation("a single brace in the format \(format.quoted)")
            }
            try writer.append(try field(rest[..<end], arguments, &next, budget))
            rest = rest[end...].dropFirst()
        }
        try writer.append(String(rest))
        return writer.text
    }

    private static func field(
        _ field: Substring.UnicodeScalarView, _ arguments: TemplateArguments, _ next: inout Int,
        _ budget: TemplateBudget
    ) throws -> String {
        var rest = field
        let name = String(rest.prefix { $0 != "!" && $0 != ":" })
        rest = rest.dropFirst(name.unicodeScalars.count)
        var value: TemplateValue?
        if let index = name.isEmpty ? next : Int(name) {
            // Numbered places after counted ones, or the other way about, are an error in Python.
            guard name.isEmpty ? next >= 0 : next <= 0 else {
                throw TemplateFailure.undefinedOperation("places with and without numbers in one format")
            }
            next = name.isEmpty ? next + 1 : -1
            value = arguments.positional.indices.contains(index) ? arguments.positional[index] : nil
        } else {
            value = arguments.named.first { $0.name == name }?.value
            if name.unicodeScalars.contains(where: { $0 == "." || $0 == "[" || $0 == "{" }) {
                throw TemplateFailure.unsupported("the place \("{\(name)}".quoted) of a format")
            }
        }
        guard var value else {
            throw TemplateFailure.undefinedOperation("no value for the place \("{\(name)}".quoted)")
        }
        if rest.popFirst("!") {
            switch rest.popFirst() {
            case "s": value = .string(try TemplateText.string(value, budget))
            case "r": value = .string(try TemplateText.literal(value, budget))
            default: throw TemplateFailure.unsupported("a conversion other than !s and !r")
            }
        }
        guard rest.popFirst(":") else { return try TemplateText.string(value, budget) }
        return try specification(rest).text(braces: value, budget)
    }

    /// `[[fill]align][sign][#][0][width][,][.precision][type]`
    private static func specification(_ text: Substring.UnicodeScalarView) throws -> TemplateFormat {
        var (format, rest) = (TemplateFormat(), text)
        let alignments = "<>^=".unicodeScalars
        if let fill = rest.first, let alignment = rest.dropFirst().first, alignments.contains(alignment) {
            (format.fill, format.alignment) = (fill, alignment)
            rest = rest.dropFirst(2)
        } else if let alignment = rest.first, alignments.contains(alignment) {
            format.alignment = alignment
            rest = rest.dropFirst()
        }
        if let sign = rest.first, "+- ".unicodeScalars.contains(sign) {
            format.sign = sign == "-" ? nil : sign
            rest = rest.dropFirst()
        }
        format.isAlternate = rest.popFirst("#")
        if rest.popFirst("0"), format.alignment == nil { (format.fill, format.alignment) = ("0", "=") }
        format.width = try number(&rest) ?? 0
        format.groups = rest.popFirst(",")
        if rest.popFirst(".") { format.precision = try number(&rest) }
        format.type = rest.popFirst()
        guard rest.isEmpty else {
            throw TemplateFailure.unsupported("the format \(String(text).quoted)")
        }
        return format
    }

    private func text(braces value: TemplateValue, _ budget: TemplateBudget) throws -> String {
        switch (value, type) {
        case (.string(let text), nil), (.string(let text), "s"), (.markup(let text), nil):
            guard alignment != "=" else { break }
            return self.text(text)
        case (.integer(let whole), nil), (.integer(let whole), "d"), (.integer(let whole), "x"),
            (.integer(let whole), "X"), (.integer(let whole), "o"), (.integer(let whole), "b"):
            guard precision == nil else { break }
            return try text(whole: whole)
        case (.integer, "f"), (.integer, "e"), (.integer, "g"), (.integer, "%"), (.float, "f"), (.float, "e"),
            (.float, "g"), (.float, "%"):
            return try text(real: value.number ?? 0)
        case (.float(let real), nil) where precision == nil:
            return padded(PythonNumber.text(real.magnitude), isNegative: real.sign == .minus)
        default: break
        }
        throw TemplateFailure.unsupported(
            "the format \(type.map { String($0).quoted } ?? "given") of a value of type \(value.typeName)")
    }
}

extension Substring.UnicodeScalarView {
    /// Takes the first scalar if it is this one.
    fileprivate mutating func popFirst(_ scalar: Unicode.Scalar) -> Bool {
        guard first == scalar else { return false }
        self = dropFirst()
        return true
    }

    fileprivate mutating func popFirst() -> Unicode.Scalar? {
        guard let first else { return nil }
        self = dropFirst()
        return first
    }
}
