/// A dictionary in the order of its keys.
final class TemplateMapping {
    /// What a view of a mapping shows.
    enum Part: String { case keys, values, items }

    /// Mappings with more keys than this have an index.
    private static let unindexedCount = 8

    let keys: [TemplateValue]
    let values: [TemplateValue]
    let depth: Int
    private let index: [TemplateKey: Int]

    /// - Throws: where keys are not distinct values that Python can hash, or values are nested too deep. A key given twice
    ///   keeps its place and gets the later value.
    init(_ members: [(key: TemplateValue, value: TemplateValue)]) throws {
        var keys: [TemplateValue] = []
        var values: [TemplateValue] = []
        var index: [TemplateKey: Int] = [:]
        for member in members {
            let key = try TemplateKey(member.key)
            if let place = index[key] {
                values[place] = member.value
            } else {
                index[key] = keys.count
                keys.append(member.key)
                values.append(member.value)
            }
        }
        (self.keys, self.values) = (keys, values)
        self.index = index
        depth = max(try TemplateList.depth(over: keys), try TemplateList.depth(over: values))
    }

    /// A mapping of distinct strings.
    init(distinct keys: [String], _ values: [TemplateValue]) throws {
        self.keys = keys.map(TemplateValue.string)
        self.values = values
        var index: [TemplateKey: Int] = [:]
        if keys.count > Self.unindexedCount {
            for (place, key) in keys.enumerated() { index[.text(TemplateKey.Text(text: key))] = place }
        }
        self.index = index
        depth = try TemplateList.depth(over: values)
    }

    subscript(key: String) -> TemplateValue? {
        guard index.isEmpty else { return index[.text(TemplateKey.Text(text: key))].map { values[$0] } }
        for (place, candidate) in keys.enumerated() {
            if case .string(let text) = candidate, text.hasSameBytes(as: key) { return values[place] }
        }
        return nil
    }

    /// - Throws: where Python cannot hash the key.
    func value(for key: TemplateValue) throws -> TemplateValue? {
        if let text = key.text { return self[text] }
        return index[try TemplateKey(key)].map { values[$0] }
    }

    func elements(of part: Part) throws -> [TemplateValue] {
        switch part {
        case .keys: keys
        case .values: values
        case .items: try zip(keys, values).map { try .tuple([$0, $1]) }
        }
    }
}

/// A value as a key: equal numbers are one key whatever their type, as in Python.
enum TemplateKey: Hashable {
    case none
    case whole(Int)
    case number(Double)
    case text(Text)
    case tuple([TemplateKey])

    /// Text by its bytes. Swift's own equality takes different spellings of one character for equal.
    struct Text: Hashable {
        let text: String

        static func == (left: Text, right: Text) -> Bool { left.text.hasSameBytes(as: right.text) }

        func hash(into hasher: inout Hasher) {
            for byte in text.utf8 { hasher.combine(byte) }
        }
    }

    /// The most values in one key: a tuple of tuples that share parts can be far larger to walk than to hold.
    private static let maximumCount = 1000

    /// - Throws: for a value that Python cannot hash, and for a tuple of more than 1,000 values.
    init(_ value: TemplateValue) throws {
        var count = 0
        try self.init(value, &count)
    }

    private init(_ value: TemplateValue, _ count: inout Int) throws {
        count += 1
        guard count <= Self.maximumCount else {
            throw TemplateFailure.unsupported("a key of a mapping with more than \(Self.maximumCount) values")
        }
        switch value {
        case .none: self = .none
        case .bool(let value): self = .whole(value ? 1 : 0)
        case .integer(let value): self = .whole(value)
        case .float(let value): self = Int(exactly: value).map { .whole($0) } ?? .number(value)
        case .string(let text), .markup(let text): self = .text(Text(text: text))
        case .tuple(let list): self = .tuple(try list.items.map { try TemplateKey($0, &count) })
        default:
            throw TemplateFailure.undefinedOperation(
                "a value of type \(value.typeName) as a key of a mapping")
        }
    }
}
