/// The time that a template's `strftime_now` gives: a given one, so that two renderings are the same.
package struct ChatDate: Sendable, Hashable, CustomStringConvertible {
    package let year: Int
    package let month: Int
    package let day: Int
    package let hour: Int
    package let minute: Int
    package let second: Int

    /// A day of the Gregorian calendar, at a time of that day; nil if there is no such one. Years are 1 to 9999.
    package init?(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        guard (1...9999).contains(year), (1...12).contains(month), (0..<24).contains(hour),
            (0..<60).contains(minute), (0..<60).contains(second),
            (1...Self.days(in: month, of: year)).contains(day)
        else { return nil }
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    /// Reads `2026-07-31`, or `2026-07-31T18:05:00`; nil for any other text.
    package init?(_ text: String) {
        let halves = text.split(separator: "T", omittingEmptySubsequences: false)
        guard halves.count <= 2, let day = Self.numbers(halves[0], "-", [4, 2, 2]) else { return nil }
        let time = halves.count == 2 ? Self.numbers(halves[1], ":", [2, 2, 2]) : [0, 0, 0]
        guard let time else { return nil }
        self.init(
            year: day[0], month: day[1], day: day[2], hour: time[0], minute: time[1], second: time[2])
    }

    private static func numbers(_ text: Substring, _ separator: Character, _ widths: [Int]) -> [Int]? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == widths,
            parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
        else { return nil }
        return parts.compactMap { Int($0) }
    }

    /// `2026-07-31`, with its time if that is not midnight.
    package var description: String {
        let day = "\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(self.day, 2))"
        if hour == 0, minute == 0, second == 0 { return day }
        return "\(day)T\(Self.padded(hour, 2)):\(Self.padded(minute, 2)):\(Self.padded(second, 2))"
    }

    private static let monthNames = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ]
    private static let dayNames = [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ]

    private static func days(in month: Int, of year: Int) -> Int {
        if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
        return [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    private var dayOfYear: Int { (1..<month).reduce(day) { $0 + Self.days(in: $1, of: year) } }

    /// 0 for Monday. The first of January of year 1 was one.
    private var weekday: Int {
        let years = year - 1
        return (years * 365 + years / 4 - years / 100 + years / 400 + dayOfYear - 1) % 7
    }

    /// The weeks of this year before this day, where a week begins with `first` (0 for Monday).
    private func week(from first: Int) -> Int { (dayOfYear + 6 - (weekday - first + 7) % 7) / 7 }

    private static func padded(_ value: Int, _ width: Int, by character: String = "0") -> String {
        let digits = String(value)
        return String(repeating: character, count: max(0, width - digits.count)) + digits
    }

    /// As `datetime.strftime` writes it in English.
    ///
    /// - Throws: `TemplateFailure` for a directive that depends on the machine or that C does not have.
    func formatted(_ format: String, _ budget: TemplateBudget) throws -> String {
        var result = ""
        var scalars = format.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            guard var directive = scalars.next() else { throw unsupported("%") }
            let isPadded = directive != "-"
            if !isPadded { directive = scalars.next() ?? "-" }
            guard let piece = piece(directive, width: isPadded ? 2 : 0) else {
                throw unsupported(isPadded ? "%\(directive)" : "%-\(directive)")
            }
            result += piece
        }
        try budget.take(bytes: result.utf8.count)
        return result
    }

    private func unsupported(_ directive: String) -> TemplateFailure {
        TemplateFailure.unsupported("the directive \(directive.quoted) in a date's format")
    }

    /// - Parameter width: of numbers that are padded: 2, or 0 for none.
    private func piece(_ directive: Unicode.Scalar, width: Int) -> String? {
        func number(_ value: Int, by character: String = "0") -> String {
            Self.padded(value, width, by: character)
        }
        let halfDay = hour % 12 == 0 ? 12 : hour % 12
        return switch directive {
        case "d": number(day)
        case "e": number(day, by: " ")
        case "m": number(month)
        case "y": number(year % 100)
        case "H": number(hour)
        case "I": number(halfDay)
        case "M": number(minute)
        case "S": number(second)
        case "j": Self.padded(dayOfYear, width == 0 ? 0 : 3)
        case "U": number(week(from: 6))
        case "W": number(week(from: 0))
        case _ where width == 0: nil
        default: word(directive)
        }
    }

    private func word(_ directive: Unicode.Scalar) -> String? {
        let month = Self.monthNames[month - 1]
        let weekday = Self.dayNames[self.weekday]
        let time = [hour, minute, second].map { Self.padded($0, 2) }.joined(separator: ":")
        return switch directive {
        case "B": month
        case "b", "h": String(month.prefix(3))
        case "A": weekday
        case "a": String(weekday.prefix(3))
        case "Y": String(year)
        case "p": hour < 12 ? "AM" : "PM"
        case "w": String((self.weekday + 1) % 7)
        case "u": String(self.weekday + 1)
        case "F": "\(year)-\(Self.padded(self.month, 2))-\(Self.padded(day, 2))"
        case "T", "X": time
        case "R": String(time.prefix(5))
        case "D", "x": "\(Self.padded(self.month, 2))/\(Self.padded(day, 2))/\(Self.padded(year % 100, 2))"
        case "c": "\(weekday.prefix(3)) \(month.prefix(3)) \(Self.padded(day, 2, by: " ")) \(time) \(year)"
        case "f": "000000"
        case "n": "\n"
        case "t": "\t"
        case "z", "Z": ""
        case "%": "%"
        default: nil
        }
    }
}
