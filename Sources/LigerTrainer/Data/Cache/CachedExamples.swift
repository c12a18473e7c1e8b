/// Examples as the cache keeps them: numbers of their own, and tokens.
protocol CachedExample: Sendable {
    var fields: [Int32] { get }
    var allTokens: [Int32] { get }

    /// - Parameters: as an equal example gave them.
    init(fields: [Int32], tokens: [Int32])
}

extension CacheEntry {
    /// All examples.
    func examples<Example: CachedExample>(of type: Example.Type = Example.self) -> ExampleList<Example> {
        ExampleList(count: header.recordCount, release: release) { index in
            let record = record(index)
            return Example(fields: record.fields, tokens: record.tokens)
        }
    }
}

extension InstructionExample: CachedExample {
    /// The line, and the borders of what is learned.
    var fields: [Int32] {
        ([line] + learned.flatMap { [$0.lowerBound, $0.upperBound] }).map { Int32(truncatingIfNeeded: $0) }
    }

    var allTokens: [Int32] { tokens }

    init(fields: [Int32], tokens: [Int32]) {
        let borders = fields.dropFirst().map { Int($0) }
        let learned = stride(from: 0, to: borders.count - 1, by: 2).map { borders[$0]..<borders[$0 + 1] }
        self.init(line: Int(fields[0]), tokens: tokens, learned: learned)
    }
}

extension ExampleStream.Example: CachedExample {
    /// The line, what is said of the answer, and how many tokens prompt and answers have; an advantage's bits are the last.
    var fields: [Int32] {
        let (mark, bits): (Int, [Int32]) =
            switch judgement {
            case nil: (-1, [])
            case .bad: (0, [])
            case .good: (1, [])
            case .advantage(let value): (2, [Int32(bitPattern: value.bitPattern)])
            }
        return ([line, mark, prompt.count] + answers.map(\.count)).map { Int32(truncatingIfNeeded: $0) }
            + bits
    }

    var allTokens: [Int32] { prompt + answers.joined() }

    init(fields: [Int32], tokens: [Int32]) {
        line = Int(fields[0])
        var counts = fields[3...]
        switch fields[1] {
        case 0: judgement = .bad
        case 1: judgement = .good
        case 2: judgement = .advantage(Float(bitPattern: UInt32(bitPattern: counts.removeLast())))
        default: judgement = nil
        }
        var rest = tokens[...]
        func next(_ count: Int32) -> [Int32] {
            defer { rest = rest.dropFirst(Int(count)) }
            return Array(rest.prefix(Int(count)))
        }
        prompt = next(fields[2])
        answers = counts.map(next)
    }
}
