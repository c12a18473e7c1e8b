import Platform

/// A normalisation form of Unicode.
///
/// The forms are those of Unicode 9, whose tables the library has: to it younger characters neither decompose nor
/// combine.
enum NormalizationForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    private static let version = 9

    /// `text` in this form. Cost: about linear.
    func normalized(_ text: UTF8Text) -> [UInt8] {
        switch self {
        case .nfc: return Self.composed(text)
        case .nfd: return Self.decomposed(text)
        case .nfkc:
            return Self.compatible(text).withUnsafeBufferPointer { Self.composed(UTF8Text(bytes: $0)) }
        case .nfkd:
            return Self.compatible(text).withUnsafeBufferPointer { Self.decomposed(UTF8Text(bytes: $0)) }
        }
    }

    /// Whether a character is a nonspacing mark of Unicode 8, which BERT leaves out.
    static func isNonspacing(_ value: UInt32) -> Bool {
        // These became nonspacing marks after Unicode 8, and these spacing ones.
        if [0x1885, 0x1886, 0xA9BD, 0x111C9].contains(value) { return false }
        if [0x1734, 0x1171E].contains(value) { return true }
        guard value >= 0x300, let properties = Unicode.Scalar(value)?.properties else { return false }
        return properties.generalCategory == .nonspacingMark && properties.age.map { $0.major <= 8 } ?? false
    }

    /// Whether a character is a combining mark in the library's tables.
    static func isMark(_ value: UInt32) -> Bool {
        guard value >= 0x300, let scalar = Unicode.Scalar(value) else { return false }
        // These became letters, and this a mark, after Unicode 9.
        if value == 0x1CF2 || value == 0x1CF3 { return true }
        if value == 0x111C9 { return false }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return isKnown(scalar)
        default: return false
        }
    }

    private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.age.map { $0.major <= version } ?? true
    }

    private static func composed(_ text: UTF8Text) -> [UInt8] {
        betweenYoung(text, alsoASCII: false) { bytes, output in
            CanonicalComposition.append(UTF8Text(bytes: UnsafeBufferPointer(rebasing: bytes)), to: &output)
        }
    }

    private static func decomposed(_ text: UTF8Text) -> [UInt8] {
        betweenYoung(text, alsoASCII: true, appendDecomposed)
    }

    /// Copies characters that are too young, and ASCII if asked for, and gives what lies between them to `append`.
    private static func betweenYoung(
        _ text: UTF8Text, alsoASCII: Bool,
        _ append: (Slice<UnsafeBufferPointer<UInt8>>, inout [UInt8]) -> Void
    ) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var start = 0
        var offset = 0
        while offset < text.count {
            let (value, length) = text.scalar(at: offset)
            if length == 1 ? alsoASCII : length > 2 && value < tableSize && isYoung[Int(value)] {
                append(text.bytes[start..<offset], &output)
                output.append(contentsOf: text.bytes[offset..<offset + length])
                start = offset + length
            }
            offset += length
        }
        append(text.bytes[start...], &output)
        return output
    }

    private static let tableSize: UInt32 = 0x20000

    /// The characters that are younger than Unicode 9 and decompose or combine. Made at first use, in milliseconds.
    private static let isYoung: [Bool] = {
        var isYoung = [Bool](repeating: false, count: Int(tableSize))
        for value in 0x7FD..<tableSize {
            guard let scalar = Unicode.Scalar(value), !isKnown(scalar) else { continue }
            var form: [UInt8] = []
            String(scalar).appendDecomposedForm(to: &form)
            let parts = String(decoding: form, as: UTF8.self).unicodeScalars
            if parts.count > 1 || parts.first != scalar {
                for part in parts where !isKnown(part) { isYoung[Int(part.value)] = true }
                isYoung[Int(value)] = true
            } else if scalar.properties.canonicalCombiningClass != .notReordered {
                isYoung[Int(value)] = true
            }
        }
        return isYoung
    }()

    private static func appendDecomposed(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, to output: inout [UInt8])
    {
        guard !bytes.isEmpty else { return }
        var scalars = String.UnicodeScalarView()
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            scalars.append(contentsOf: CanonicalComposition.marksThatDecompose[scalar] ?? [scalar])
        }
        String(scalars).appendDecomposedForm(to: &output)
    }

    /// `text` with the characters of the compatibility table replaced.
    private static func compatible(_ text: UTF8Text) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var offset = 0
        while offset < text.count {
            let (value, length) = text.scalar(at: offset)
            if length > 1, let replacement = compatibility[value] {
                output += replacement
            } else {
                output.append(contentsOf: text.bytes[offset..<offset + length])
            }
            offset += length
        }
        return output
    }

    /// The table of those characters that are old enough, in UTF-8.
    private static let compatibility: [UInt32: [UInt8]] = {
        var table: [UInt32: [UInt8]] = [:]
        for entry in CompatibilityTable.entries.split(whereSeparator: \.isWhitespace) {
            let sides = entry.split(separator: ":")
            let range = sides[0].split(separator: "+")
            let targets = sides[1].split(separator: ",").compactMap { UInt32($0, radix: 16) }
            guard let first = UInt32(range[0], radix: 16) else { continue }
            for step in 0..<(range.count > 1 ? UInt32(range[1]) ?? 1 : 1) {
                guard let scalar = Unicode.Scalar(first + step), isKnown(scalar) else { continue }
                var bytes: [UInt8] = []
                for target in targets { Normalizer.append(target + step, &bytes) }
                table[first + step] = bytes
            }
        }
        return table
    }()
}
