extension String {
    /// The text in quotes, short and without control characters, so that a hostile name can neither flood
    /// nor steer the terminal that shows a message.
    package var quoted: String {
        var shown = ""
        for scalar in unicodeScalars.prefix(80) {
            let isControl = scalar.properties.generalCategory == .control
            let isFormat = scalar.properties.generalCategory == .format
            shown += isControl || isFormat ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }
        return unicodeScalars.count > 80 ? "\"\(shown)...\"" : "\"\(shown)\""
    }
}
