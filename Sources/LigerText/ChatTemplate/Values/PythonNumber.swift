internal import Platform

// Python's ways with numbers.

/// A double as text.
enum PythonNumber {
    /// `repr`: the shortest digits that give the number back, with an exponent below 1e-4 and from 1e16 on.
    static func text(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let sign = value.sign == .minus ? "-" : ""
        if value == 0 { return sign + "0.0" }
        let (digits, exponent) = decimal(value.magnitude)
        guard (-4..<16).contains(exponent) else {
            let rest = digits.dropFirst()
            let mantissa = String(digits.prefix(1)) + (rest.isEmpty ? "" : "." + rest)
            let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(power)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        let whole = digits.prefix(exponent + 1)
        let zeros = String(repeating: "0", count: exponent + 1 - whole.count)
        let fraction = digits.dropFirst(exponent + 1)
        return sign + whole + zeros + "." + (fraction.isEmpty ? "0" : fraction)
    }

    /// The shortest digits of a positive number, and the power of ten of the first.
    private static func decimal(_ value: Double) -> (digits: String, exponent: Int) {
        let parts = value.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let whole = mantissa[0] == "0" ? "" : String(mantissa[0])
        let fraction = mantissa.count > 1 && mantissa[1] != "0" ? String(mantissa[1]) : ""
        let power = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let all = whole + fraction
        let leading = all.prefix { $0 == "0" }.count
        var digits = all.dropFirst(leading)
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (String(digits), power + whole.count - leading - 1)
    }

    /// C's `%.*e`, `%.*f` and `%.*g`, which round as Python's do: to the nearest, from the number's exact value.
    ///
    /// - Parameter type: one of e, f, g.
    static func formatted(_ value: Double, _ type: Character, precision: Int, alternate: Bool = false)
        -> String
    {
        let format = "%\(alternate ? "#" : "").*\(type)"
        var buffer = [CChar](repeating: 0, count: 400 + max(precision, 0))
        let count = withVaList([Int32(precision), value]) { vsnprintf(&buffer, buffer.count, format, $0) }
        return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `round(value, places)`: half to even, on the exact value.
    static func rounded(_ value: Double, places: Int) -> Double {
        guard value.isFinite else { return value }
        if places > 323 { return value }
        if places < -308 { return value.sign == .minus ? -0.0 : 0 }
        if places == 0 { return value.rounded(.toNearestOrEven) }
        if places > 0 { return Double(formatted(value, "f", precision: places)) ?? value }
        // The digits before the point: an exact decimal is cut at the place and rounded by hand.
        let scientific = formatted(value, "e", precision: 400)
        let exponent = Int(scientific.split(separator: "e").last ?? "0") ?? 0
        guard exponent + places >= -1 else { return value.sign == .minus ? -0.0 : 0 }
        guard exponent + places >= 0 else {
            // One digit is left, if the number is more than half of it.
            let unit = Double("1e\(-places)") ?? .infinity
            return value.magnitude > unit / 2 ? (value < 0 ? -unit : unit) : (value.sign == .minus ? -0.0 : 0)
        }
        return Double(formatted(value, "e", precision: exponent + places)) ?? value
    }

    /// The number that a text is, as `float` reads it; nil for any other text.
    static func float(_ text: String) -> Double? {
        let trimmed = text.stripped().pythonLowercase
        let plain = withoutSeparators(trimmed)
        switch plain {
        case nil: return nil
        case "inf", "+inf", "infinity", "+infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        case "nan", "+nan", "-nan": return .nan
        case let plain?:
            let allowed = plain.utf8.allSatisfy { (0x30...0x39).contains($0) || "+-.e".utf8.contains($0) }
            guard allowed, let value = Double(plain.hasSuffix(".") ? plain + "0" : plain) else {
                return allowed ? Double(plain.replacing(".e", with: ".0e")) : nil
            }
            return value
        }
    }

    /// The whole number that a text is in `base`, as `int` reads it; nil for any other text.
    ///
    /// - Throws: a number beyond 64 bits.
    static func whole(_ text: String, base: Int) throws -> Int? {
        var digits = text.stripped().pythonLowercase
        let isNegative = digits.hasPrefix("-")
        if isNegative || digits.hasPrefix("+") { digits.removeFirst() }
        var radix = base
        let prefixes = ["0x": 16, "0o": 8, "0b": 2]
        if let named = prefixes[String(digits.prefix(2))], base == 0 || base == named {
            radix = named
            digits.removeFirst(2)
            if digits.hasPrefix("_") { digits.removeFirst() }
        } else if base == 0 {
            radix = 10
            if digits.count > 1, digits.hasPrefix("0"), !digits.allSatisfy({ $0 == "0" || $0 == "_" }) {
                return nil
            }
        }
        guard let plain = withoutSeparators(digits), !plain.isEmpty,
            plain.unicodeScalars.allSatisfy({ $0.isASCII && Int(String($0), radix: radix) != nil })
        else { return nil }
        guard let value = Int((isNegative ? "-" : "") + plain, radix: radix) else {
            throw TemplateFailure.unsupported("a whole number beyond 64 bits")
        }
        return value
    }

    /// Without underscores, each of which must stand between two digits.
    private static func withoutSeparators(_ text: String) -> String? {
        guard text.utf8.contains(UInt8(ascii: "_")) else { return text }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        let isSound = parts.indices.allSatisfy { index in
            (index == 0 || parts[index].first?.isHexDigit == true)
                && (index == parts.count - 1 || parts[index].last?.isHexDigit == true)
        }
        return isSound ? parts.joined() : nil
    }
}
