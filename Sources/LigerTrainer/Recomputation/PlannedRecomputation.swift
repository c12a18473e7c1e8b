package import LigerNN
internal import Platform

/// What a run computes again to stay within its memory, and what that comes to: a part of the run's record.
package struct PlannedRecomputation: Sendable, Equatable, Codable {
    /// Bytes that arrays may take on the device.
    package let budget: Int
    /// Whether nobody gave it: it is what was free, less a reserve.
    package let isAutomatic: Bool
    /// What is computed again, block by block.
    package let plan: RecomputationPlan
    /// The most bytes that arrays take on the device.
    package let expectedPeak: Int
    /// Bytes that blocks keep for the backward pass, their inputs too.
    package let keptBytes: Int
    /// Of a forward pass' products and attention within blocks, how much is computed twice.
    package let repeatedShare: Double
    /// Blocks that compute the same again.
    package let groups: [Group]

    /// Blocks in a row that compute the same again.
    package struct Group: Sendable, Equatable, Codable {
        /// The first, from 0.
        package let first: Int
        /// The last.
        package let last: Int
        /// What they compute again.
        package let again: RecomputedParts
        /// Of their products and attention, how much is computed twice.
        package let repeatedShare: Double
        /// Bytes that each keeps, its input too.
        package let keptBytes: Int

        var blocks: String { first == last ? "\(first)" : "\(first)-\(last)" }
    }

    /// A few lines for people.
    package var lines: [String] {
        let limit = isAutomatic ? "of what is free" : "of --memory-budget"
        let title =
            "plan    \(Format.bytes(keptBytes)) are kept for the backward pass; \(Format.bytes(expectedPeak)) at most "
            + "\(limit), \(Format.bytes(budget))"
        var table = Table([
            .text("blocks"), .text("computed again"), .number("products twice"), .number("kept each"),
        ])
        for group in groups {
            table.add([
                group.blocks, group.again.description, Self.percent(group.repeatedShare),
                Format.bytes(group.keptBytes),
            ])
        }
        let rows = table.plain.split(separator: "\n").map { "        " + $0 }
        return [title] + rows + [
            "        \(Self.percent(repeatedShare)) of the blocks' products and attention are computed twice"
        ]
    }

    private static func percent(_ share: Double) -> String { Format.decimal(100 * share, places: 1) + "%" }

    /// One JSON object: `{"recomputation":{"budget_bytes":...}}`.
    package var json: String {
        struct Line: Encodable {
            struct Rows: Encodable {
                let blocks: String
                let again: RecomputedParts
                let productsTwice: Double
                let keptBytesEach: Int
            }
            struct Body: Encodable {
                let budgetBytes: Int
                let isAutomatic: Bool
                let expectedPeakBytes: Int
                let keptBytes: Int
                let productsTwice: Double
                let plan: [Rows]
            }
            let recomputation: Body
        }
        let rows = groups.map {
            Line.Rows(
                blocks: $0.blocks, again: $0.again, productsTwice: $0.repeatedShare,
                keptBytesEach: $0.keptBytes)
        }
        let line = Line(
            recomputation: Line.Body(
                budgetBytes: budget, isAutomatic: isAutomatic, expectedPeakBytes: expectedPeak,
                keptBytes: keptBytes, productsTwice: repeatedShare, plan: rows))
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys]
        let bytes = (try? encoder.encode(line)) ?? Data()
        return String(decoding: bytes, as: UTF8.self)
    }
}
