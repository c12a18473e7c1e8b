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
    /// The line, whether the answer is good, and how many tokens prompt and answers have.
    var fields: [Int32] {
        let mark: Int = isGood.map { $0 ? 1 : 0 } ?? -1
        return ([line, mark, prompt.count] + answers.map(\.count)).map { Int32(truncatingIfNeeded: $0) }
    }

    var allTokens: [Int32] { prompt + answers.joined() }

    init(fields: [Int32], tokens: [Int32]) {
        line = Int(fields[0])
        isGood = fields[1] < 0 ? nil : fields[1] == 1
        var rest = tokens[...]
        func next(_ count: Int32) -> [Int32] {
            defer { rest = rest.dropFirst(Int(count)) }
            return Array(rest.prefix(Int(count)))
        }
        prompt = next(fields[2])
        answers = fields[3...].map(next)
    }
}
