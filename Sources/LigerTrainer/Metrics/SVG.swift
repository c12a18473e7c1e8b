/// Pieces of an SVG file.
enum SVG {
    /// A tenth of a pixel is finer than any screen shows.
    static func coordinate(_ value: Double) -> String {
        let tenths = (value * 10).rounded() / 10
        return tenths == tenths.rounded() ? "\(Int(tenths))" : "\(tenths)"
    }

    static func text(
        _ content: String, x: Double, y: Double, _ style: String, anchor: String = "start",
        transform: String? = nil
    ) -> String {
        let attribute = transform.map { " transform=\"\($0)\"" } ?? ""
        return
            "<text class=\"\(style)\" x=\"\(coordinate(x))\" y=\"\(coordinate(y))\" text-anchor=\"\(anchor)\""
            + "\(attribute)>\(escaped(content))</text>\n"
    }

    /// Text as XML content; characters that XML 1.0 cannot hold are replaced.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\u{0}"..<"\u{20}" where scalar != "\t" && scalar != "\n", "\u{FFFE}", "\u{FFFF}":
                result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
