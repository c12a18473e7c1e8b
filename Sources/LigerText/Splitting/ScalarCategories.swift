/// General categories of all scalars as runs, by the Unicode version of the library's regular expressions.
///
/// A class of characters is evaluated once for a run, so that the tables of a new expression cost well under a
/// millisecond.
enum ScalarCategories {
    /// Scalars of one category from `start` on, up to the start of the next run.
    struct Run {
        let start: UInt32
        let category: Unicode.GeneralCategory
        let isAlphabetic: Bool
        let isSpace: Bool
    }

    /// The library's regular expressions know Unicode 16; what is younger counts as unassigned.
    static let version = 16

    /// One more than the largest scalar.
    static let end: UInt32 = 0x110000

    /// All runs in order; the first starts at 0. Made at first use, in some 20 milliseconds.
    static let runs: [Run] = {
        var runs: [Run] = []
        for range: ClosedRange<UInt32> in [0...0x3347F, 0xE0000...0xE01FF, 0xF0000...0x10FFFF] {
            // Private planes are one category but for their last two scalars.
            for value in range where value < 0xF0000 || value & 0xFFFF == 0 || value & 0xFFFF > 0xFFFC {
                append(run(value), to: &runs)
            }
            if range.upperBound + 1 < end { append(unassigned(range.upperBound + 1), to: &runs) }
        }
        return runs
    }()

    private static func append(_ run: Run, to runs: inout [Run]) {
        if let last = runs.last, last.category == run.category, last.isAlphabetic == run.isAlphabetic,
            last.isSpace == run.isSpace
        {
            return
        }
        runs.append(run)
    }

    private static func unassigned(_ value: UInt32) -> Run {
        Run(start: value, category: .unassigned, isAlphabetic: false, isSpace: false)
    }

    private static func run(_ value: UInt32) -> Run {
        guard let scalar = Unicode.Scalar(value) else {
            return Run(start: value, category: .surrogate, isAlphabetic: false, isSpace: false)
        }
        let properties = scalar.properties
        if let age = properties.age, age.major > version { return unassigned(value) }
        return Run(
            start: value, category: properties.generalCategory, isAlphabetic: properties.isAlphabetic,
            isSpace: properties.isWhitespace)
    }
}
