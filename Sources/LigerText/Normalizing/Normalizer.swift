/// One step of normalising a text.
enum Normalizer: Sendable {
    case form(NormalizationForm)
    case lowercase
    case replace(TextPattern, with: [UInt8])
    /// Before a text that is not empty.
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)
    /// Leaves out combining marks.
    case stripAccents
    /// Leaves out nonspacing marks.
    case stripNonspacing
    /// Leaves out control characters, and makes all white space spaces.
    case cleanText
    /// Puts spaces around Han characters.
    case spaceHan
    case charactersMap(CharactersMap)

    /// `text` after this step. Cost: about linear.
    func normalized(_ text: UTF8Text) -> [UInt8] {
        switch self {
        case .form(let form): return form.normalized(text)
        case .lowercase: return Self.mapped(text, Self.appendLowercase)
        case .replace(let pattern, let content): return Self.replacing(pattern, with: content, in: text)
        case .prepend(let prefix): return text.count == 0 ? [] : prefix + text.bytes
        case .strip(let left, let right): return Self.stripped(text, left: left, right: right)
        case .stripAccents:
            return Self.mapped(text) { value, _, output in
                if !NormalizationForm.isMark(value) { Self.append(value, &output) }
            }
        case .stripNonspacing:
            return Self.mapped(text) { value, _, output in
                if !NormalizationForm.isNonspacing(value) { Self.append(value, &output) }
            }
        case .cleanText: return Self.mapped(text, Self.appendClean)
        case .spaceHan: return Self.mapped(text, Self.appendSpaced)
        case .charactersMap(let map): return map.normalized(text)
        }
    }

    /// Replaces each character.
    private static func mapped(
        _ text: UTF8Text, _ append: (UInt32, _ isASCII: Bool, inout [UInt8]) -> Void
    ) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var offset = 0
        while offset < text.count {
            let (value, length) = text.scalar(at: offset)
            append(value, length == 1, &output)
            offset += length
        }
        return output
    }

    static func append(_ value: UInt32, _ output: inout [UInt8]) {
        if value < 0x80 {
            output.append(UInt8(value))
        } else if let scalar = Unicode.Scalar(value) {
            output.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
    }

    private static func appendLowercase(_ value: UInt32, _ isASCII: Bool, _ output: inout [UInt8]) {
        if isASCII {
            output.append(UInt8(0x41...0x5A ~= value ? value | 0x20 : value))
        } else if let scalar = Unicode.Scalar(value) {
            output.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
    }

    private static func appendClean(_ value: UInt32, _ isASCII: Bool, _ output: inout [UInt8]) {
        if value == 0xFFFD || isControl(value) { return }
        append(ScalarTest.isSpace(value) ? 0x20 : value, &output)
    }

    /// Controls other than line ends and tabs, characters of private use, and the format characters of Unicode 8.
    private static func isControl(_ value: UInt32) -> Bool {
        switch value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E: return false
        default: break
        }
        guard let properties = Unicode.Scalar(value)?.properties else { return false }
        switch properties.generalCategory {
        case .control, .privateUse: return true
        case .format: return properties.age.map { $0.major <= 8 } ?? false
        default: return false
        }
    }

    private static func appendSpaced(_ value: UInt32, _ isASCII: Bool, _ output: inout [UInt8]) {
        let isHan =
            switch value {
            case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
                0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
                true
            default: false
            }
        if isHan { output.append(UInt8(ascii: " ")) }
        append(value, &output)
        if isHan { output.append(UInt8(ascii: " ")) }
    }

    private static func replacing(_ pattern: TextPattern, with content: [UInt8], in text: UTF8Text) -> [UInt8]
    {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var finder = pattern.finder(in: text)
        let piece = 0..<text.count
        finder.begin(piece)
        var done = 0
        while done < text.count, let match = finder.next(from: done, in: piece) {
            output.append(contentsOf: text.bytes[done..<match.lowerBound])
            output += content
            done = match.upperBound
        }
        output.append(contentsOf: text.bytes[done...])
        return output
    }

    private static func stripped(_ text: UTF8Text, left: Bool, right: Bool) -> [UInt8] {
        var start = 0
        var end = text.count
        while left, start < end {
            let (value, length) = text.scalar(at: start)
            guard ScalarTest.isSpace(value) else { break }
            start += length
        }
        while right, start < end {
            let previous = text.start(before: end)
            guard ScalarTest.isSpace(text.scalar(at: previous).value) else { break }
            end = previous
        }
        return Array(text.bytes[start..<end])
    }
}

extension [Normalizer] {
    /// The steps for a text that goes on from another: nothing is put before it or taken from its start.
    var withoutStart: [Normalizer] {
        compactMap { step in
            switch step {
            case .prepend: nil
            case .strip(_, let right): .strip(left: false, right: right)
            default: step
            }
        }
    }

    /// `text` after all steps.
    func normalized(_ text: UTF8Text) -> [UInt8] {
        guard let first else { return [UInt8](text.bytes) }
        return dropFirst().reduce(first.normalized(text)) { bytes, step in
            bytes.withUnsafeBufferPointer { step.normalized(UTF8Text(bytes: $0)) }
        }
    }

    /// `text` after all steps.
    func normalized(_ text: String) -> String {
        var text = text
        return String(decoding: text.withUTF8 { normalized(UTF8Text(bytes: $0)) }, as: UTF8.self)
    }
}
