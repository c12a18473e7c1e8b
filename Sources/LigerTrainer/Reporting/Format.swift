internal import Platform

/// Numbers as people read them, the same on every machine.
package enum Format {
    /// `1,234.5`: rounded correctly, thousands set off by commas.
    package static func decimal(_ value: Double, places: Int) -> String {
        guard value.isFinite else { return nonFinite(value) }
        let text = fixed(value.magnitude, places: places)
        let isNegative = value < 0 && text.contains { $0 != "0" && $0 != "." }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? "." + parts[1] : ""
        return (isNegative ? "-" : "") + grouped(parts[0]) + fraction
    }

    /// `12,345`.
    package static func integer(_ value: Int) -> String {
        (value < 0 ? "-" : "") + grouped(Substring(String(value.magnitude)))
    }

    /// `1 file`, `3 files`.
    package static func count(_ value: Int, _ noun: String) -> String {
        "\(integer(value)) \(noun)\(value == 1 ? "" : "s")"
    }

    /// `512 B`, `12.3 MiB`: units of 1024.
    package static func bytes(_ count: Int) -> String {
        if count.magnitude < 1024 { return "\(count) B" }
        var value = Double(count)
        var unit = -1
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        // 1023.95 would round to 1,024.0 of the smaller unit.
        while value.magnitude >= 1023.95 && unit < units.count - 1 || unit < 0 {
            value /= 1024
            unit += 1
        }
        return "\(decimal(value, places: 1)) \(units[unit])"
    }

    /// `85 µs`, `12.3 ms`, `5.2 s`, `1m 02s`, `1h 02m`, `3d 04h`: about three digits at any length.
    package static func duration(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        if seconds < 0.000_999_5 { return "\(significant(seconds * 1e6)) µs" }
        if seconds < 0.999_5 { return "\(significant(seconds * 1e3)) ms" }
        if seconds < 59.95 { return "\(decimal(seconds, places: 1)) s" }
        let whole = Int(seconds.rounded())
        if whole < 3600 { return "\(whole / 60)m \(twoDigits(whole % 60))s" }
        let minutes = Int((seconds / 60).rounded())
        if minutes < 24 * 60 { return "\(minutes / 60)h \(twoDigits(minutes % 60))m" }
        let hours = Int((seconds / 3600).rounded())
        return "\(integer(hours / 24))d \(twoDigits(hours % 24))h"
    }

    /// `12.3`, `0.00123`, `1.23e-07`: so many digits, with an exponent outside 1e-4 ..< 1e6.
    package static func significant(_ value: Double, digits: Int = 3) -> String {
        precondition(digits > 0, "a number has at least one digit")
        guard value.isFinite else { return nonFinite(value) }
        if value == 0 { return "0" }
        // Rounding may carry into the next power of ten, so the exponent is read after it.
        let scientific = self.scientific(value, places: digits - 1)
        guard let mark = scientific.firstIndex(of: "e"),
            let exponent = Int(scientific[scientific.index(after: mark)...])
        else { return scientific }
        if exponent < -4 || exponent >= 6 { return scientific }
        return decimal(value, places: max(0, digits - 1 - exponent))
    }

    /// `45%`, rounded down, so that 100% means done.
    package static func percent(_ share: Double) -> String {
        share.isFinite ? "\(Int((min(max(share, 0), 1) * 100).rounded(.down)))%" : "?"
    }

    private static func nonFinite(_ value: Double) -> String {
        value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    private static func grouped(_ digits: Substring) -> String {
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { result.append(",") }
            result.append(digit)
        }
        return result
    }

    private static func fixed(_ value: Double, places: Int) -> String { printed("%.*f", value, places) }
    private static func scientific(_ value: Double, places: Int) -> String { printed("%.*e", value, places) }

    /// The C library rounds decimal digits correctly; 512 bytes hold any Double with up to 100 places.
    private static func printed(_ format: String, _ value: Double, _ places: Int) -> String {
        precondition(0 <= places && places <= 100, "0 to 100 decimal places")
        var buffer = [CChar](repeating: 0, count: 512)
        let count = withVaList([Int32(places), value]) { vsnprintf(&buffer, buffer.count, format, $0) }
        return String(decoding: buffer[..<Int(count)].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
