/// Reads a score as the `tokenizers` library does.
///
/// The library's JSON reader takes the digits as a whole number and divides it by a power of ten, both rounded, so
/// that some scores are one unit in the last place from the number that is written. Between two segmentations of
/// nearly equal score that unit decides.
enum ScoreText {
    private static let powers: [Double] = (0...308).map { Double("1e\($0)") ?? .infinity }

    /// The number that a JSON number is read as, or nil when it is out of range.
    static func value(of text: ArraySlice<UInt8>) -> Double? {
        var rest = text
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest.removeFirst() }
        var digits: UInt64 = 0
        var exponent = 0
        var isFraction = false
        var isFull = false
        while let byte = rest.first, byte == UInt8(ascii: ".") || isDigit(byte) {
            rest.removeFirst()
            guard isDigit(byte) else {
                isFraction = true
                continue
            }
            let (tenfold, tooLarge) = digits.multipliedReportingOverflow(by: 10)
            let (sum, stillTooLarge) = tenfold.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            isFull = isFull || tooLarge || stillTooLarge
            if isFull {
                if !isFraction { exponent += 1 }
            } else {
                digits = sum
                if isFraction { exponent -= 1 }
            }
        }
        if !rest.isEmpty {
            let power = Int(String(decoding: rest.dropFirst(), as: UTF8.self)) ?? .max
            exponent += max(-100_000, min(power, 100_000))
        }
        return scaled(Double(digits), by: exponent).map { isNegative ? -$0 : $0 }
    }

    private static func scaled(_ digits: Double, by exponent: Int) -> Double? {
        var value = digits
        var exponent = exponent
        while exponent < -308 {
            if value == 0 { return 0 }
            value /= 1e308
            exponent += 308
        }
        guard exponent <= 308 else { return value == 0 ? 0 : nil }
        value = exponent >= 0 ? value * powers[exponent] : value / powers[-exponent]
        return value.isFinite ? value : nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
