internal import Platform
internal import Yams

/// The bytes of a run file as pairs of a key and a value.
///
/// YAML lets one value stand for another, deeper and deeper, so that a few lines come to more than any memory. So the bytes
/// are looked over before they are parsed, and of what is parsed the first level is read alone.
struct RunFileSource {
    /// A value, as far as a run file goes.
    enum Value: Equatable {
        case scalar(String)
        case list([String])
        case mapping
        case nothing
    }

    struct Pair: Equatable {
        let key: String
        let value: Value
        /// Of the key, counted from 1.
        let line: Int
    }

    private let path: String
    private let text: String

    /// The most anchors and aliases that are parsed, to be refused by name: so few cannot come to much. Those in comments
    /// and quotes are counted too.
    private static let mostReferences = 12

    init(_ bytes: [UInt8], path: String) throws(RunFileError) {
        self.path = path
        func fault(at place: Int?, _ text: String) -> RunFileError {
            let line = place.map { place in 1 + bytes[..<place].count { $0 == UInt8(ascii: "\n") } }
            return RunFileError(path, [RunFileError.Problem(line: line, text)])
        }
        guard bytes.count <= RunFile.mostBytes else {
            throw fault(
                at: nil, "it has \(bytes.count) bytes; a run file has \(RunFile.mostBytes) at most.")
        }
        if let place = bytes.firstIndex(of: 0) { throw fault(at: place, "a byte is 0, which no text has.") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let valid = Self.validCount(bytes)
            throw fault(at: valid, "byte \(valid + 1) of the file is not UTF-8; save the file as UTF-8.")
        }
        let references = Self.references(in: bytes)
        if references.count > Self.mostReferences {
            throw fault(
                at: references[0],
                "there are \(references.count) words that begin with & or *, as anchors and aliases do, which are not "
                    + "read; write values out.")
        }
        self.text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
    }

    /// How many bytes at the front are UTF-8.
    private static func validCount(_ bytes: [UInt8]) -> Int {
        var (decoder, iterator, count) = (UTF8(), bytes.makeIterator(), 0)
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { count += UTF8.width(scalar) }
        return count
    }

    /// Places where a word begins with & or *.
    private static func references(in bytes: [UInt8]) -> [Int] {
        let starts = Set(" \t\r\n[]{},:-?!\"\u{27}".utf8)
        return bytes.indices.filter { place in
            (bytes[place] == UInt8(ascii: "&") || bytes[place] == UInt8(ascii: "*"))
                && (place == 0 || starts.contains(bytes[place - 1]))
        }
    }

    /// All keys with their values, in order.
    func pairs() throws(RunFileError) -> [Pair] {
        let parser = try reporting { () throws -> Yams.Parser in
            // No rules: a scalar is what is written. The encoding is given, or the environment would decide it.
            try Yams.Parser(yaml: text, resolver: .basic, encoding: .utf8)
        }
        // Nodes know of their anchors only as long as there is the parser.
        return try withExtendedLifetime(parser) { () throws(RunFileError) in
            try pairs(of: reporting { try parser.singleRoot() })
        }
    }

    private func pairs(of root: Node?) throws(RunFileError) -> [Pair] {
        guard let root else { return [] }
        guard case .mapping(let mapping) = root else {
            throw fault(root.mark?.line, "this is no list of keys with values, such as lr: 3e-4.")
        }
        var pairs: [Pair] = [], problems: [RunFileError.Problem] = []
        for (key, value) in mapping {
            do throws(RunFileError) {
                pairs.append(try pair(key, value, line: key.mark?.line ?? 1))
            } catch {
                problems += error.problems
            }
        }
        guard problems.isEmpty else { throw RunFileError(path, problems) }
        return pairs
    }

    private func reporting<Result>(_ body: () throws -> Result) throws(RunFileError) -> Result {
        do {
            return try body()
        } catch let error as YamlError {
            throw RunFileError(path, [problem(error)])
        } catch {
            throw fault(nil, "it cannot be read as YAML.")
        }
    }

    private func pair(_ key: Node, _ value: Node, line: Int) throws(RunFileError) -> Pair {
        guard let name = key.scalar else { throw fault(line, "a key is no word.") }
        let shown = String(name.string.prefix(60))
        guard key.anchor == nil, value.anchor == nil, value.sequence?.allSatisfy({ $0.anchor == nil }) ?? true
        else {
            throw fault(line, "\(shown): anchors and aliases (& and *) are not read; write the value out.")
        }
        guard Self.isPlain(key), Self.isPlain(value) else {
            throw fault(line, "\(shown): tags (!) are not read; leave it out.")
        }
        if let value = Self.value(value) { return Pair(key: name.string, value: value, line: line) }
        return Pair(key: name.string, value: try list(value, shown, line), line: line)
    }

    private static func value(_ node: Node) -> Value? {
        switch node {
        case .scalar(let scalar):
            let isNothing =
                scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            return isNothing ? .nothing : .scalar(scalar.string)
        case .mapping: return .mapping
        default: return nil
        }
    }

    private func list(_ node: Node, _ key: String, _ line: Int) throws(RunFileError) -> Value {
        var texts: [String] = []
        for node in node.sequence ?? [] {
            guard case .scalar(let text)? = Self.value(node), Self.isPlain(node) else {
                throw fault(node.mark?.line ?? line, "\(key): an item of a list must be one number or word.")
            }
            texts.append(text)
        }
        if texts.isEmpty { throw fault(line, "\(key) has an empty list; give values, or leave the key out.") }
        return .list(texts)
    }

    /// Whether no tag says what a node is.
    private static func isPlain(_ node: Node) -> Bool {
        let kinds: [Tag.Name] = [.implicit, .str, .seq, .map]
        return kinds.contains { node.tag.description == $0.rawValue }
    }

    private func fault(_ line: Int?, _ text: String) -> RunFileError {
        RunFileError(path, [RunFileError.Problem(line: line, text)])
    }

    private func problem(_ error: YamlError) -> RunFileError.Problem {
        func words(_ problem: String) -> String { "this is not YAML: \(problem)." }
        return switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            RunFileError.Problem(line: mark.line, words(problem))
        case .reader(let problem, let offset, _, _):
            RunFileError.Problem(line: offset.map(line(atByte:)), words(problem))
        case .duplicatedKeysInMapping(let keys, let context):
            RunFileError.Problem(
                line: context.mark.line, "\(keys[0]) is given more than once; keep one of them.")
        default: RunFileError.Problem(line: nil, words("\(error)"))
        }
    }

    private func line(atByte offset: Int) -> Int {
        1 + text.utf8.prefix(max(0, offset)).count { $0 == UInt8(ascii: "\n") }
    }
}
