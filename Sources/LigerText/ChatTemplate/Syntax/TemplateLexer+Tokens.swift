extension TemplateLexer {
    /// One token of an expression.
    mutating func readToken(_ brackets: inout [TemplateToken.Mark]) throws {
        let start = position
        let scalar = scalars[position]
        if scalar.isDecimalDigit {
            try readNumber()
        } else if scalar == "_" || scalar.properties.isXIDStart {
            while position < scalars.count,
                scalars[position] == "_" || scalars[position].properties.isXIDContinue
            { position += 1 }
            append(.name(text(start..<position)), at: start)
        } else if scalar == "'" || scalar == "\"" {
            try readString(scalar)
        } else if let mark = TemplateToken.Mark.bySize.first(where: {
            scalars[start...].starts(with: $0.scalars)
        }) {
            position += mark.scalars.count
            try balance(mark.mark, &brackets, at: start)
            append(.mark(mark.mark), at: start)
        } else {
            throw error(
                .malformed, "the character \(String(scalar).quoted)", "an expression has no such sign",
                at: start)
        }
    }

    private mutating func balance(
        _ mark: TemplateToken.Mark, _ brackets: inout [TemplateToken.Mark], at start: Int
    ) throws {
        if let closing = mark.closing {
            brackets.append(closing)
        } else if [.closeBrace, .closeBracket, .closeParenthesis].contains(mark) {
            let expected = brackets.popLast()
            guard expected == mark else {
                throw error(
                    .malformed, "\"\(mark.rawValue)\"",
                    expected.map { "\"\($0.rawValue)\" is expected first" } ?? "no bracket is open", at: start
                )
            }
        }
    }

    // Numbers: 12, 1_000, 0x1f, 0b1, 0o7, 1.5, 2e3. A number after a dot has no fraction, as in `a.0.1`.
    private mutating func readNumber() throws {
        let start = position
        let isAfterDot = start > 0 && scalars[start - 1] == "."
        skipDigits(radix: 10)
        if !isAfterDot, let end = fractionEnd() {
            position = end
            let literal = text(start..<end).filter { $0 != "_" }
            append(.float(Double(literal) ?? .infinity), at: start)
            return
        }
        var (radix, first) = (10, start)
        if scalars[start] == "0" {
            position = start + 1
            let prefixes: [Unicode.Scalar: Int] = ["x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2]
            if position < scalars.count, let other = prefixes[scalars[position]], skipRadix(other) {
                (radix, first) = (other, start + 2)
            } else {
                while let next = separated(at: position), scalars[next] == "0" { position = next + 1 }
            }
        }
        guard let value = Int(text(first..<position).filter { $0 != "_" }, radix: radix) else {
            throw error(
                .unsupported, "a whole number beyond 64 bits", ChatTemplateError.Kind.unsupportedAdvice,
                at: start)
        }
        append(.integer(value), at: start)
    }

    /// Skips digits after a prefix such as `0x`; false and nothing skipped if there are none.
    private mutating func skipRadix(_ radix: Int) -> Bool {
        guard let first = separated(at: position + 1), scalars[first].digitValue(radix: radix) != nil else {
            return false
        }
        position = first
        skipDigits(radix: radix)
        return true
    }

    private mutating func skipDigits(radix: Int) {
        while let next = separated(at: position), scalars[next].digitValue(radix: radix) != nil {
            position = next + 1
        }
    }

    /// The index at or, past one underscore, after `index`.
    private func separated(at index: Int) -> Int? {
        let next = index < scalars.count && scalars[index] == "_" ? index + 1 : index
        return next < scalars.count ? next : nil
    }

    /// The end of a fraction, an exponent or both that stand here.
    private func fractionEnd() -> Int? {
        func digits(from start: Int) -> Int? {
            var index = start
            guard index < scalars.count, scalars[index].isDecimalDigit else { return nil }
            while let next = separated(at: index), scalars[next].isDecimalDigit { index = next + 1 }
            return index
        }
        var index = position
        var end: Int?
        if index < scalars.count, scalars[index] == ".", let fraction = digits(from: index + 1) {
            (index, end) = (fraction, fraction)
        }
        if index < scalars.count, scalars[index] == "e" || scalars[index] == "E" {
            var exponent = index + 1
            if exponent < scalars.count, scalars[exponent] == "+" || scalars[exponent] == "-" {
                exponent += 1
            }
            end = digits(from: exponent) ?? end
        }
        return end
    }
}

extension TemplateLexer {
    private mutating func readString(_ quote: Unicode.Scalar) throws {
        let start = position
        position += 1
        var text = String.UnicodeScalarView()
        while position < scalars.count, scalars[position] != quote {
            if scalars[position] == "\\" {
                try readEscape(into: &text)
            } else {
                text.append(scalars[position])
                position += 1
            }
        }
        guard position < scalars.count else {
            throw error(.malformed, "a string without its end", "close it with \(quote)", at: start)
        }
        position += 1
        append(.string(String(text)), at: start)
    }

    /// Python's escapes. An unknown one stays as it is written, with its backslash.
    private mutating func readEscape(into text: inout String.UnicodeScalarView) throws {
        let start = position
        guard start + 1 < scalars.count else {
            position = scalars.count
            return
        }
        let scalar = scalars[start + 1]
        position += 2
        let single: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"",
            "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "v": "\u{B}",
        ]
        if let escaped = single[scalar] {
            text.append(escaped)
        } else if scalar.digitValue(radix: 8) != nil {
            position -= 1
            let digits = take(upTo: 3, radix: 8)
            text.append(Unicode.Scalar(UInt32(digits, radix: 8) ?? 0) ?? " ")
        } else if let count = ["x": 2, "u": 4, "U": 8][scalar] {
            let digits = take(upTo: count, radix: 16)
            guard digits.utf8.count == count, let code = UInt32(digits, radix: 16),
                let value = Unicode.Scalar(code)
            else {
                throw error(
                    .malformed, "the escape \\\(scalar)\(digits)", "it must name one Unicode character",
                    at: start)
            }
            text.append(value)
        } else if scalar == "N" {
            throw error(
                .unsupported, "the escape \\N", ChatTemplateError.Kind.unsupportedAdvice, at: start)
        } else if scalar != "\n" {
            text.append("\\")
            // Jinja writes what is not ASCII as an escape before it reads the escapes, so here the escape's text stays.
            text.append(contentsOf: (scalar.isASCII ? String(scalar) : scalar.pythonEscape).unicodeScalars)
        }
    }

    private mutating func take(upTo count: Int, radix: Int) -> String {
        let start = position
        while position < scalars.count, position - start < count,
            scalars[position].digitValue(radix: radix) != nil
        {
            position += 1
        }
        return text(start..<position)
    }
}

extension Unicode.Scalar {
    var isDecimalDigit: Bool { ("0"..."9").contains(self) }

    func digitValue(radix: Int) -> Int? {
        guard isASCII, let value = Character(self).hexDigitValue, value < radix else { return nil }
        return value
    }

    /// `xe9`, `u20ac` or `U0001f600`: how Python writes a character by its code, without the backslash.
    var pythonEscape: String {
        let digits = String(value, radix: 16)
        let (letter, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return letter + String(repeating: "0", count: width - digits.count) + digits
    }
}
