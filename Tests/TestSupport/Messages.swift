import Testing

/// The text of what `body` throws; a failure if it throws nothing.
package func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        Issue.record("nothing was thrown")
        return ""
    } catch {
        return "\(error)"
    }
}
