/// A table of text with aligned columns.
package struct Table: Sendable {
    /// Which side a column's text leans to: words left, numbers right.
    package enum Alignment: Sendable { case left, right }

    /// A column's title and side.
    package struct Column: Sendable {
        package let title: String
        package let alignment: Alignment

        /// A column of words.
        package static func text(_ title: String) -> Column { Column(title: title, alignment: .left) }
        /// A column of numbers.
        package static func number(_ title: String) -> Column { Column(title: title, alignment: .right) }
    }

    package let columns: [Column]
    package private(set) var rows: [[String]] = []

    /// An empty table.
    package init(_ columns: [Column]) {
        precondition(!columns.isEmpty, "a table has at least one column")
        self.columns = columns
    }

    /// Adds a row: one text per column.
    package mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count, "\(cells.count) cells for \(columns.count) columns")
        rows.append(cells.map { $0.split(separator: "\n").joined(separator: " ") })
    }

    /// Titles, a rule, and the rows, columns two spaces apart; no space at the end of a line.
    package var plain: String {
        let widths = self.widths
        let rule = widths.map { String(repeating: "-", count: $0) }
        let lines = [columns.map(\.title), rule] + rows
        return lines.map { cells in
            var line = padded(cells, to: widths).joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    private var widths: [Int] {
        columns.indices.map { index in rows.reduce(columns[index].title.count) { max($0, $1[index].count) } }
    }

    private func padded(_ cells: [String], to widths: [Int]) -> [String] {
        columns.indices.map { index in
            let space = String(repeating: " ", count: widths[index] - cells[index].count)
            return columns[index].alignment == .left ? cells[index] + space : space + cells[index]
        }
    }
}
